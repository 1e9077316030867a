;; Never returns and never calls the host.
(func $attack (result i32)
  (loop $forever (br $forever))
  (unreachable))
