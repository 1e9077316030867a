;; Asks for 4 GiB in one go, and does without when it is refused.
(func $attack (result i32)
  (if (i32.ne (memory.grow (i32.const 65000)) (i32.const -1)) (then (unreachable)))
  (call $text (i32.const 0) (i32.const 0)))
