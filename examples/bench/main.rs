//! The bench: mcp-tether beside the floor (a direct client of the same HTTP library) and any other proxy, in one run.
//!
//! Contenders take turns, so that a busy machine disturbs all of them; medians and the best are told. All traffic stays
//! on this machine. This program is also the server and the floor, each in a process of its own. `cargo run` builds the
//! release binary by itself unless `--binary` names one. Not here: what is measured (`startup`, `calls`, `bodies`,
//! `instances`), between whom (`contender`, `direct`, `server`), and how it looks (`table`, `picture`).
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this program's output is for a person")]

mod authority;
mod board;
mod bodies;
mod calls;
mod contender;
mod direct;
mod instances;
mod messages;
mod payloads;
mod picture;
mod process;
mod program;
mod server;
mod startup;
mod table;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use board::{Board, Row, Unit};
use clap::Parser;
use contender::{Contender, Peer, Surroundings};
use program::Outcome;
use server::Server;

/// The first argument of this program when it is the server or the floor.
const AS_SERVER: &str = "--as-server";
const AS_DIRECT: &str = "--as-direct";

/// The kinds of measures.
const KINDS: [&str; 5] = ["startup", "instances", "latency", "load", "bodies"];

/// Measures mcp-tether beside a direct client of the same HTTP library, and beside other proxies. Minutes, no network.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench")]
struct Options {
    /// The mcp-tether to measure, instead of the release build of this source
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Another proxy to measure; name the program itself, not what installs and starts it
    #[arg(long, value_name = "NAME=command {url}")]
    against: Vec<Contender>,
    /// Everything, with all samples, as JSON
    #[arg(long)]
    json: bool,
    /// Draws the table into this file as well
    #[arg(long, value_name = "PATH")]
    svg: Option<PathBuf>,
    /// How often each contender is started
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// How many calls are made one after the other
    #[arg(long, default_value_t = 4000)]
    calls: usize,
    /// How many calls are made with many at once
    #[arg(long, default_value_t = 20_000)]
    load: usize,
    /// The sizes of large messages, in megabytes
    #[arg(long, value_name = "MB,…", value_delimiter = ',', default_values_t = [1, 10, 50])]
    sizes: Vec<usize>,
    /// Only measures of these kinds
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', value_parser = KINDS)]
    only: Vec<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1..).unwrap_or_default() {
        [role] if role == AS_SERVER => return server::serve(),
        [role, url] if role == AS_DIRECT => return direct::run(url),
        _ => {}
    }
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Outcome<()> {
    let mut bench = Bench::set_up(options)?;
    for kind in KINDS {
        let only = &bench.options.only;
        if !only.is_empty() && !only.iter().any(|wanted| wanted == kind) {
            continue;
        }
        match kind {
            "startup" => startup::measure(&mut bench),
            "instances" => instances::measure(&mut bench),
            "latency" => calls::measure_latency(&mut bench),
            "load" => calls::measure_load(&mut bench),
            _ => bodies::measure(&mut bench),
        }
    }
    let Bench { board, options, .. } = bench;
    if let Some(path) = &options.svg {
        std::fs::write(path, picture::draw(&board))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    match options.json {
        true => println!("{:#}", board.json()),
        false => print!("{}", table::text(&board)),
    }
    Ok(())
}

/// What every measure needs.
struct Bench {
    options: Options,
    contenders: Vec<Contender>,
    surroundings: Surroundings,
    server: Server,
    board: Board,
    /// Removed when this is dropped.
    _folder: tempfile::TempDir,
}

impl Bench {
    fn set_up(options: Options) -> Outcome<Bench> {
        let binary = options.binary.clone().map_or_else(build, Ok)?;
        let server = Server::start()?;
        let folder = tempfile::tempdir().map_err(|error| format!("a folder for this run: {error}"))?;
        let roots = authority::Roots::write(server.authority(), folder.path());
        let roots = roots.map_err(|error| format!("the system's roots: {error}"))?;
        let mut contenders = vec![Contender::direct(), Contender::ours(&binary)];
        contenders.extend(options.against.iter().cloned());
        let mut board = Board {
            contenders: contenders.iter().map(|contender| contender.name.clone()).collect(),
            conditions: process::machine(),
            ..Board::default()
        };
        board.conditions.push(roots.told.clone());
        if cfg!(debug_assertions) {
            board.notes.push("the floor and the server are debug builds: use --release".to_owned());
        }
        let surroundings = Surroundings { roots, has_one_root: false, folder: folder.path().to_owned() };
        Ok(Bench { options, contenders, surroundings, server, board, _folder: folder })
    }

    /// A row without samples.
    fn row(&self, group: &'static str, title: impl Into<String>, unit: Unit) -> Row {
        Row::new(group, title, unit, self.contenders.len())
    }

    /// Takes rows in, to the others of their group.
    fn add(&mut self, rows: impl IntoIterator<Item = Row>) {
        for row in rows {
            let after = self.board.rows.iter().rposition(|other| other.group == row.group);
            self.board.rows.insert(after.map_or(self.board.rows.len(), |at| at + 1), row);
        }
    }

    /// Lets every contender have its turn. What goes wrong is noted, once for each of them.
    fn each(&mut self, what: &str, mut turn: impl FnMut(&Bench, usize) -> Outcome<()>) {
        for at in 0..self.contenders.len() {
            if let Err(problem) = turn(self, at) {
                let beginning = format!("{}, {what}: ", self.contenders[at].name);
                if !self.board.notes.iter().any(|note| note.starts_with(&beginning)) {
                    self.board.notes.push(beginning + &problem);
                }
            }
        }
    }

    /// One of each contender, ready for calls; none where that does not work.
    fn peers(&mut self, url: &str) -> Vec<Option<Peer>> {
        let mut peers = Vec::new();
        self.each("the first call", |bench, at| {
            let peer = Peer::ready(&bench.contenders[at], url, &bench.surroundings);
            peer.map(|peer| peers.push((at, peer)))
        });
        let mut places: Vec<_> = self.contenders.iter().map(|_| None).collect();
        for (at, peer) in peers {
            places[at] = Some(peer);
        }
        places
    }
}

/// This program.
fn itself() -> Outcome<PathBuf> {
    std::env::current_exe().map_err(|error| format!("where is this program? {error}"))
}

/// Builds the program as it is released, and tells where it is: beside the folder of the examples.
fn build() -> Outcome<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "--bin", "mcp-tether", "--manifest-path", manifest]);
    let built = command.status().map_err(|error| format!("cargo: {error}"))?;
    let itself = itself()?;
    let target = itself.ancestors().nth(3).ok_or("this program is in no target folder")?;
    let binary = target.join("release").join(format!("mcp-tether{}", std::env::consts::EXE_SUFFIX));
    match built.success() && binary.exists() {
        true => Ok(binary),
        false => Err("the release build failed; --binary PATH takes one that is there".to_owned()),
    }
}

#[expect(clippy::disallowed_methods, reason = "how long things take is what this program tells")]
fn now() -> Instant {
    Instant::now()
}
