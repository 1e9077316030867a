;; Says that its list has four billion items.
(func $attack (result i32)
  (call $ok (i32.const 0) (i32.const 0xffffffff)))
