;; Asks for one timer after the other, and never drops one.
(func $attack (result i32)
  (loop $more
    (drop (call $timer (i64.const 1000000000000)))
    (br $more))
  (unreachable))
