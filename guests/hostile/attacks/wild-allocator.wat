;; Its allocator answers with an address beyond its memory.
(func $attack (result i32) (unreachable))
