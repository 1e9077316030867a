//! `exoclaw-c-bindings WIT WORLD OUT` writes what `wit-bindgen c WIT --world WORLD --out-dir OUT`
//! would. The command-line tool brings the generators of seven languages; of this one, all but a
//! single crate is compiled for the Rust guests anyway.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [wit, world, out] = &arguments[..] else {
        return Err("usage: exoclaw-c-bindings WIT WORLD OUT".into());
    };
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some(world))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files)?;
    fs::create_dir_all(out)?;
    for (name, bytes) in files.iter() {
        fs::write(Path::new(out).join(name), bytes)?;
    }
    Ok(())
}
