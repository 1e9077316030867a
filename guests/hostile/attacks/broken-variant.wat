;; Returns a case that the variant does not have.
(func $attack (result i32)
  (local $result i32)
  (local.set $result (call $text (i32.const 0) (i32.const 0)))
  (i32.store8 (local.get $result) (i32.const 7))
  (local.get $result))
