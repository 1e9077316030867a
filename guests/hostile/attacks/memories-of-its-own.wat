;; A module with several memories, which the engine's configuration leaves out.
(memory $second 1)
(func $attack (result i32) (unreachable))
