;; Logs a line of 48 MiB, again and again.
(func $attack (result i32)
  (drop (memory.grow (i32.const 768)))
  (memory.fill (i32.const 131072) (i32.const 0x61) (i32.const 50331648))
  (loop $more
    (call $log (i32.const 2) (i32.const 131072) (i32.const 50331648))
    (br $more))
  (unreachable))
