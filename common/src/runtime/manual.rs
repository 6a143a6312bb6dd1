//! Shell completions and man pages, made of the program's own command line. Prints, and reads nothing.

use std::io::{self, Write};

use clap::{Command, Subcommand, ValueEnum};
use clap_complete::{Generator, Shell};

/// What is printed, for whoever packs the program.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Subcommand)]
pub enum Manual {
    /// Completions for a shell.
    Completions {
        /// Which shell.
        shell: KnownShell,
    },
    /// The man page, in roff.
    Man,
}

/// The shells that are served.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum KnownShell {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// Fish.
    Fish,
}

impl Manual {
    /// Prints it.
    ///
    /// # Errors
    /// Nobody takes it.
    pub fn print(self, mut command: Command, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Completions { shell } => {
                let name = command.get_name().to_owned();
                command.set_bin_name(name);
                command.build();
                let shell = match shell {
                    KnownShell::Bash => Shell::Bash,
                    KnownShell::Zsh => Shell::Zsh,
                    KnownShell::Fish => Shell::Fish,
                };
                shell.try_generate(&command, out)
            }
            Self::Man => man(command, out),
        }
    }
}

/// One page: the program, then each of its commands.
fn man(command: Command, out: &mut impl Write) -> io::Result<()> {
    // `help` and its copies of every command are of no use on paper.
    let command = command.disable_help_subcommand(true);
    let page = clap_mangen::Man::new(command.clone());
    page.render(out)?;
    for one in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        section(command.get_name(), one, out)?;
    }
    Ok(())
}

fn section(above: &str, command: &Command, out: &mut impl Write) -> io::Result<()> {
    let name = format!("{above} {}", command.get_name());
    let page = clap_mangen::Man::new(command.clone().bin_name(name.clone()));
    writeln!(out, ".SH \"{}\"", name.to_uppercase())?;
    page.render_description_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_options_section(out)?;
    command.get_subcommands().try_for_each(|one| section(&name, one, out))
}
