;; Waits in the host for no time at all, without end.
(func $attack (result i32)
  (local $timer i32)
  (local.set $timer (call $timer (i64.const 0)))
  (loop $more
    (call $block (local.get $timer))
    (br $more))
  (unreachable))
