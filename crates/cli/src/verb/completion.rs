//! `completion` and `man`: made from the same definitions that parse the command line.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::failure::Failure;
use crate::output::Output;

/// Print the completion script of a shell
#[derive(Args, Debug)]
pub(crate) struct Completion {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(self, mut command: Command, output: Output) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "proofmark", &mut script);
        output.document(&script);
        Ok(())
    }
}

/// Print the manual: one page for each verb, one after the other
#[derive(Args, Debug)]
pub(crate) struct Man {}

impl Man {
    /// In roff: the pages of the program and of each verb.
    pub(crate) fn run(self, command: Command, output: Output) -> Result<(), Failure> {
        let mut command = command.disable_help_subcommand(true);
        command.build();
        let mut text = Vec::new();
        pages(&command, &mut text).map_err(anyhow::Error::from)?;
        output.document(&text);
        Ok(())
    }
}

fn pages(command: &Command, text: &mut Vec<u8>) -> std::io::Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned();
    clap_mangen::Man::new(command.clone()).title(name).render(text)?;
    command.get_subcommands().try_for_each(|verb| pages(verb, text))
}
