;; Returns bytes that are no UTF-8.
(func $attack (result i32)
  (i32.store (i32.const 0) (i32.const 0xfffefdfc))
  (call $text (i32.const 0) (i32.const 4)))
