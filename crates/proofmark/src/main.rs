//! The command line: the only crate that prints, exits and reads the environment.

mod cli;
mod commands;
mod documents;
mod failure;
mod worker;

use std::{env, ffi::OsString, path::Path, process::ExitCode};

use clap::Parser as _;

use crate::{
    cli::{Cli, Command},
    failure::{Code, Failure},
    worker::Ended,
};

fn main() -> ExitCode {
    let mut args: Vec<OsString> = env::args_os().collect();
    let is_worker = args.get(1).is_some_and(|a| a == worker::ARGUMENT);
    if is_worker {
        args.remove(1);
    }
    // Ends with status 2 and a suggestion where the arguments are wrong.
    let cli = Cli::parse_from(args);
    let result = if is_worker { work(&cli) } else { lead(&cli) };
    result.unwrap_or_else(|failure| {
        eprintln!("{failure}");
        ExitCode::from(if failure.code == Code::Argument { 2 } else { 1 })
    })
}

/// What the parent does: commands that read no image itself, the others through a worker.
fn lead(cli: &Cli) -> Result<ExitCode, Failure> {
    match &cli.command {
        Command::Explain(args) => commands::explain::run(args),
        Command::Doctor => commands::doctor::run(),
        Command::Network(command) => commands::network::run(command),
        Command::Advisories(command) => commands::advisories::run(command),
        Command::Install { dir } => commands::install::run(dir),
        Command::Assay(a) => lead_worker(&a.image, a.out.as_deref()),
        Command::Unpack(a) => {
            present(&a.image)?;
            commands::unpack::prepare(a)?;
            let status = worker::supervise(None);
            commands::unpack::settle(a, matches!(status, Ok(Ended::Done(0))))?;
            status.map(ExitCode::from)
        }
        Command::Ls(a) => lead_worker(&a.image, None),
        Command::Show(a) => lead_worker(&a.image, None),
    }
}

/// Starts the worker, once it is clear that there is something to read.
fn lead_worker(image: &Path, out: Option<&Path>) -> Result<ExitCode, Failure> {
    present(image)?;
    worker::supervise(out).map(ExitCode::from)
}

/// The image is there.
fn present(image: &Path) -> Result<(), Failure> {
    if !commands::is_stdin(image) {
        std::fs::metadata(image).map_err(|e| Failure::input(image, &e))?;
    }
    Ok(())
}

/// What the worker does: commands that read an image.
fn work(cli: &Cli) -> Result<ExitCode, Failure> {
    match &cli.command {
        Command::Assay(args) => commands::assay::run(args, cli.no_sandbox),
        Command::Ls(args) => commands::ls::run(args, cli.no_sandbox),
        Command::Show(args) => commands::show::run(args, cli.no_sandbox),
        Command::Unpack(args) => commands::unpack::run(args, cli.no_sandbox),
        Command::Explain(_)
        | Command::Doctor
        | Command::Network(_)
        | Command::Advisories(_)
        | Command::Install { .. } => lead(cli),
    }
}
