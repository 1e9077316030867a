;; Traps if anything but zeroes is in memory that it never wrote to.
(func $attack (result i32)
  (local $at i32)
  (drop (memory.grow (i32.const 62)))
  (local.set $at (i32.const 131072))
  (loop $next
    (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (unreachable)))
    (local.set $at (i32.add (local.get $at) (i32.const 8)))
    (br_if $next (i32.lt_u (local.get $at) (i32.const 4194304))))
  (call $text (i32.const 0) (i32.const 0)))
