;; Says that a text of 1 GiB lies in a memory of 128 KiB.
(func $attack (result i32)
  (call $text (i32.const 0) (i32.const 0x40000000)))
