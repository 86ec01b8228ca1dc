//! `proofmark __install DIR`: man page and completions, made from the arguments themselves.

use std::{fs, io, path::Path, process::ExitCode};

use clap::CommandFactory as _;
use clap_complete::{Shell, generate_to};

use crate::{cli::Cli, failure::Failure};

/// Writes them into `dir`.
pub fn run(dir: &Path) -> Result<ExitCode, Failure> {
    let write = || -> io::Result<()> {
        fs::create_dir_all(dir)?;
        let mut command = Cli::command();
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            generate_to(shell, &mut command, "proofmark", dir)?;
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        fs::write(dir.join("proofmark.1"), page)
    };
    write().map_err(|e| Failure::output(dir, &e))?;
    Ok(ExitCode::SUCCESS)
}
