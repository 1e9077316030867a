;; Traps before anything is called.
(start $begin)
(func $begin (unreachable))
(func $attack (result i32) (unreachable))
