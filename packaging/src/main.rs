//! Writes the man pages and shell completions of `headcount`, which its options know best:
//! `headcount-packaging DIRECTORY`. The binary itself needs neither, nor the crates for them.

use std::env;
use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use headcount::config::Config;

fn main() -> io::Result<()> {
    let Some(directory) = env::args_os().nth(1) else {
        return Err(io::Error::other("expected the directory to write to"));
    };
    write(Path::new(&directory))
}

fn write(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let command = Config::command();
    clap_mangen::generate_to(command.clone(), directory)?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut command.clone(), "headcount", directory)?;
    }
    Ok(())
}
