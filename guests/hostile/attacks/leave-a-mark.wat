;; Writes a mark all over its memory, for whoever has the slot next.
(func $attack (result i32)
  (local $at i32)
  (drop (memory.grow (i32.const 62)))
  (local.set $at (i32.const 131072))
  (loop $next
    (i64.store (local.get $at) (i64.const 0x5ec2e75ec2e75ec2))
    (local.set $at (i32.add (local.get $at) (i32.const 8)))
    (br_if $next (i32.lt_u (local.get $at) (i32.const 4194304))))
  (call $text (i32.const 0) (i32.const 0)))
