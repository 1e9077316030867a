;; Returns a result that lies beyond its memory.
(func $attack (result i32)
  (i32.const 0xfffffff0))
