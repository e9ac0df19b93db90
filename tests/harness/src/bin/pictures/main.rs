//! `cargo pictures`: records the terminals of the README as `.github/pictures/NAME.svg`.
//!
//! Runs the real client and daemon on a pseudo-terminal against an embedded AWS, at a fixed time of day (libfaketime), and
//! draws the screen. A second run writes the same bytes: a scene replaces the values that differ, such as a process id.

// The program prints to the terminal, and stops with a reason when a recording fails.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod scenes;
mod svg;
mod world;

use std::fs;
use std::path::PathBuf;

use clap::Parser;

use world::World;

/// A picture.
struct Picture {
    /// The name of its file.
    name: &'static str,
    title: &'static str,
    scene: fn() -> World,
}

const PICTURES: [Picture; 6] = [
    Picture { name: "status", title: "Terminal with rolecall status", scene: scenes::status },
    Picture { name: "import", title: "Terminal with rolecall import", scene: scenes::import },
    Picture { name: "use", title: "Terminal with rolecall use", scene: scenes::switch },
    Picture { name: "access", title: "Terminal with rolecall access list", scene: scenes::access },
    Picture { name: "login", title: "Terminal with rolecall login", scene: scenes::login },
    Picture { name: "doctor", title: "Terminal with rolecall doctor", scene: scenes::doctor },
];

/// Record the pictures of the README. Build the programs first: cargo build --workspace --bins
#[derive(Debug, Parser)]
#[command(name = "cargo pictures")]
struct Cli {
    /// Record only these pictures
    names: Vec<String>,
    /// Write into this folder
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.github/pictures"))]
    output: PathBuf,
}

fn main() {
    let cli = Cli::parse();
    fs::create_dir_all(&cli.output).expect("the folder can be created");
    for Picture { name, title, scene } in PICTURES {
        if !cli.names.is_empty() && !cli.names.iter().any(|wanted| wanted == name) {
            continue;
        }
        let (parser, commands) = scene().finish();
        let path = cli.output.join(format!("{name}.svg"));
        fs::write(&path, svg::draw(parser.screen(), title, &commands)).expect("the file can be written");
        println!("{}", path.display());
    }
}
