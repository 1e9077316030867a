//! Makes a component of each attack: `exoclaw-attacks FOLDER` writes `NAME.wasm` for every one, and
//! prints their names.
//!
//! Attacks are written in WebAssembly's text format, so that nothing between them and the host is
//! polite. `../attacks/NAME.wat` has the function `$attack` and what it needs. Around it stands a tool
//! plugin with two tools: `misbehave`, which runs it, and `ok`, which answers as it should.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// An attack.
#[derive(Debug, Clone, Copy)]
struct Attack {
    /// Its name: that of its file.
    name: &'static str,
    body: &'static str,
    shape: Shape,
}

/// What stands around the function `$attack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A module without imports.
    Plain,
    /// It imports the log.
    Log,
    /// It imports timers.
    Timers,
    /// Its allocator is this.
    Allocator(&'static str),
    /// So many further memories in the component.
    Memories(usize),
}

macro_rules! attacks {
    ($($name:literal: $shape:expr,)*) => {
        /// Every attack.
        static ATTACKS: &[Attack] = &[$(Attack {
            name: $name,
            body: include_str!(concat!("../../attacks/", $name, ".wat")),
            shape: $shape,
        },)*];
    };
}

attacks! {
    "blocked-host-call": Shape::Timers,
    "broken-text": Shape::Plain,
    "broken-variant": Shape::Plain,
    "busy-host-call": Shape::Timers,
    "deep-recursion": Shape::Plain,
    "endless-list": Shape::Plain,
    "endless-loop": Shape::Plain,
    "gigabyte-string": Shape::Plain,
    "handles": Shape::Timers,
    "host-calls": Shape::Log,
    "huge-log-line": Shape::Log,
    "leave-a-mark": Shape::Plain,
    "look-for-marks": Shape::Plain,
    "loop-at-start": Shape::Plain,
    "looping-allocator": Shape::Allocator("(loop $forever (br $forever)) (unreachable)"),
    "many-memories": Shape::Memories(1_000),
    "memories-of-its-own": Shape::Plain,
    "memory-at-once": Shape::Plain,
    "memory-growth": Shape::Plain,
    "overlapping-strings": Shape::Plain,
    "table-growth": Shape::Plain,
    "trap-at-start": Shape::Plain,
    "wild-allocator": Shape::Allocator("(i32.const 0x7ffffff0)"),
    "wild-result": Shape::Plain,
}

/// What an attack imports, as far as it needs it.
const WIT: &str = r#"
package exoclaw:attack;

world plain { include exoclaw:plugin/tool-plugin@0.1.0; }
world timers { include exoclaw:plugin/tool-plugin@0.1.0; import wasi:clocks/monotonic-clock@0.2.0; }

package wasi:io@0.2.0 {
    interface poll {
        resource pollable { block: func(); }
    }
}

package wasi:clocks@0.2.0 {
    interface monotonic-clock {
        use wasi:io/poll@0.2.0.{pollable};
        subscribe-duration: func(when: u64) -> pollable;
    }
}
"#;

const LOG: &str = r#"(import "exoclaw:plugin/logging@0.1.0" "log" (func $log (param i32 i32 i32)))"#;
const TIMERS: &str = r#"
(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
(import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#;

/// Takes the next bytes of the memory, and more memory where it must.
const ALLOCATOR: &str = "
  (local $at i32)
  (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
  (global.set $next (i32.add (local.get $at) (local.get 3)))
  (local.get $at)";

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: exoclaw-attacks FOLDER");
        return ExitCode::FAILURE;
    };
    for attack in ATTACKS {
        let path = Path::new(&folder).join(format!("{}.wasm", attack.name));
        let written = build(attack).and_then(|component| Ok(std::fs::write(path, component)?));
        if let Err(error) = written {
            eprintln!("the attack `{}`: {error}", attack.name);
            return ExitCode::FAILURE;
        }
        println!("{}", attack.name);
    }
    ExitCode::SUCCESS
}

fn build(attack: &Attack) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut resolve = Resolve::default();
    resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../wit"))?;
    let package = resolve.push_str("attack.wit", WIT)?;
    let world =
        resolve.select_world(&[package], Some(if attack.shape == Shape::Timers { "timers" } else { "plain" }))?;
    let mut module = wat::parse_str(module(attack))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let component = ComponentEncoder::default().module(&module)?.encode()?;
    let Shape::Memories(count) = attack.shape else { return Ok(component) };
    // Fields may stand in any order, so the further memories go to the end.
    let text = wasmprinter::print_bytes(&component)?;
    let end = text.rfind(')').unwrap_or(text.len());
    let more = "(core instance (instantiate $more))\n".repeat(count);
    Ok(wat::parse_str(format!("{}(core module $more (memory 1))\n{more})", &text[..end]))?)
}

/// A plugin in one module. Its memory: the first page is the attack's own, the second begins with
/// what the plugin says of itself, and what is allocated follows.
fn module(attack: &Attack) -> String {
    let imports = match attack.shape {
        Shape::Log => LOG,
        Shape::Timers => TIMERS,
        _ => "",
    };
    // Nothing but the name of the attack's tool has nine bytes: all else is allocated as it should be.
    let allocator = match attack.shape {
        Shape::Allocator(broken) => {
            format!("(if (result i32) (i32.eq (local.get 3) (i32.const 9)) (then {broken}) (else {ALLOCATED}))")
        }
        _ => ALLOCATED.to_owned(),
    };
    let mut data = Data::default();
    let schema = data.text(r#"{"type":"object"}"#);
    let description = data.words(&[schema.0, schema.1, 0, 0, 0, 0]);
    let about = data.text("An attack.");
    let mut definition = |name: &str| {
        let name = data.text(name);
        [name.0, name.1, 0, 0, 0, about.0, about.1, schema.0, schema.1, 0, 0, 0, 0]
    };
    let both = [definition("ok"), definition("misbehave")].concat();
    let definitions = data.words(&both);
    let definitions = data.words(&[0, definitions, 2, 0]);
    let fine = data.text("fine");
    let fine = data.words(&[0, fine.0, fine.1, 0, 0]);
    let fine = data.words(&[0, fine, 1, 0]);
    let (bytes, body) = (data.escaped(), attack.body);
    format!(
        r#"(module
{imports}
(memory (export "memory") 2)
(global $next (mut i32) (i32.const {FREE}))
(data (i32.const {DATA}) "{bytes}")
(func $alloc_as_it_should (param i32 i32 i32 i32) (result i32) {ALLOCATOR})
(func $alloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {allocator})
;; The answer `ok` with this list of contents.
(func $ok (param $items i32) (param $count i32) (result i32)
  (local $result i32)
  (local.set $result (call $alloc_as_it_should (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 16)))
  (i32.store offset=4 (local.get $result) (local.get $items))
  (i32.store offset=8 (local.get $result) (local.get $count))
  (local.get $result))
;; The answer `ok` with this text.
(func $text (param $at i32) (param $length i32) (result i32)
  (local $content i32)
  (local.set $content (call $alloc_as_it_should (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 20)))
  (i32.store offset=4 (local.get $content) (local.get $at))
  (i32.store offset=8 (local.get $content) (local.get $length))
  (call $ok (local.get $content) (i32.const 1)))
(func (export "exoclaw:plugin/tool@0.1.0#describe") (result i32) (i32.const {description}))
(func (export "exoclaw:plugin/tool@0.1.0#definitions") (param i32 i32) (result i32) (i32.const {definitions}))
;; Of all its parameters, it looks at the length of the tool's name only.
(func (export "exoclaw:plugin/tool@0.1.0#call")
  (param i32 i32 i32 i32 i32 i32 i32 i32 i64) (param $name i32) (param $length i32) (param i32 i32) (result i32)
  (if (result i32) (i32.eq (local.get $length) (i32.const 2))
    (then (i32.const {fine}))
    (else (call $attack))))
{body}
)"#
    )
}

const ALLOCATED: &str = "(call $alloc_as_it_should (local.get 0) (local.get 1) (local.get 2) (local.get 3))";

/// Where what a plugin says of itself begins, and where what is allocated does.
const DATA: u32 = 65_536;
const FREE: u32 = DATA + 4_096;

/// What lies in a module's memory from the beginning.
#[derive(Default)]
struct Data(Vec<u8>);

impl Data {
    fn at(&self) -> u32 {
        DATA + u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    fn text(&mut self, text: &str) -> (u32, u32) {
        let at = self.at();
        self.0.extend_from_slice(text.as_bytes());
        (at, u32::try_from(text.len()).unwrap_or(u32::MAX))
    }

    fn words(&mut self, words: &[u32]) -> u32 {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        let at = self.at();
        self.0.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        at
    }

    fn escaped(&self) -> String {
        self.0.iter().map(|byte| format!("\\{byte:02x}")).collect()
    }
}
