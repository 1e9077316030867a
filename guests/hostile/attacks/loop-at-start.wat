;; Loops before anything is called.
(start $begin)
(func $begin (loop $forever (br $forever)))
(func $attack (result i32) (unreachable))
