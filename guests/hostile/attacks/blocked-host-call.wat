;; Waits in the host for a quarter of an hour.
(func $attack (result i32)
  (call $block (call $timer (i64.const 1000000000000)))
  (call $text (i32.const 0) (i32.const 0)))
