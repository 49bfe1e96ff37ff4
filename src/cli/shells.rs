//! `parallax completions` and `parallax man`. Their output is generated from the definition of the command line, so
//! that it is always up to date.

use clap::{Command, CommandFactory as _};
use clap_complete::generate;
use parallax_vocab::event::Exit;

use super::args::{Cli, Completions, Manual, Shell};
use super::{CliError, printer};

/// The arguments whose values are scenarios or variants. Each text is a part of the line that describes the argument in
/// the generated zsh script.
const NAMED_BY_SCENARIO: [&str; 3] = ["::filters --", ":variant --", "::paths --"];

/// The addition to the bash script that completes the names of scenarios and breaks. The script gets the names from
/// `parallax list` at each completion, because the project may change at any time.
const BASH: &str = r#"
_parallax_names() {
    # `compgen -W` expands what it is given, and a folder may have any name.
    parallax list 2>/dev/null | cut -d ' ' -f 1 | grep -E '^[A-Za-z0-9/+._-]+$'
}

_parallax_with_names() {
    _parallax "$@"
    local cur="${COMP_WORDS[COMP_CWORD]}" word kept=()
    for word in "${COMPREPLY[@]}"; do
        # The script offers the names of positional arguments, too.
        case "$word" in '['*|'<'*) ;; *) kept+=("$word") ;; esac
    done
    COMPREPLY=("${kept[@]}")
    case "$cur" in -*) return ;; esac
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$word" in
            e2e|lint|list|plan|up) COMPREPLY+=($(compgen -W "$(_parallax_names)" -- "$cur")); return ;;
        esac
    done
}

complete -F _parallax_with_names -o bashdefault -o default parallax
"#;

const ZSH: &str = r#"
_parallax_names() {
    local -a names
    names=(${(f)"$(parallax list 2>/dev/null | cut -d ' ' -f 1)"})
    compadd -a names
}
"#;

const FISH: &str = r#"
complete -c parallax -n '__fish_seen_subcommand_from e2e lint list plan up' -f -a '(parallax list 2>/dev/null | string split -f 1 " ")'
"#;

/// Prints the script that completes command lines in a shell.
pub(super) fn completions(args: Completions) -> Exit {
    printer::data(&script(args.shell));
    Exit::AsExpected
}

fn script(shell: Shell) -> String {
    let made = |shell: clap_complete::Shell| {
        let mut script = Vec::new();
        generate(shell, &mut shown(), "parallax", &mut script);
        String::from_utf8_lossy(&script).into_owned()
    };
    match shell {
        Shell::Bash => made(clap_complete::Shell::Bash) + BASH,
        Shell::Fish => made(clap_complete::Shell::Fish) + FISH,
        Shell::Zsh => {
            let script = made(clap_complete::Shell::Zsh);
            // The first line of the script must stay the first line, because it tells zsh which command the script
            // completes.
            let (first, rest) = script.split_once('\n').unwrap_or((&script, ""));
            let lines = rest.lines().map(|line| {
                let names = NAMED_BY_SCENARIO.iter().any(|it| line.contains(it));
                if names { line.replace(":_default", ":_parallax_names") } else { line.to_owned() }
            });
            format!("{first}\n{ZSH}{}\n", lines.collect::<Vec<_>>().join("\n"))
        }
    }
}

/// Returns the definition of the command line without the commands that only the harness itself starts.
fn shown() -> Command {
    let whole = Cli::command();
    let commands = whole.get_subcommands().filter(|it| !it.is_hide_set()).cloned();
    let mut shown = Command::new("parallax").version(env!("CARGO_PKG_VERSION")).subcommands(commands);
    shown = shown.args(whole.get_arguments().cloned());
    if let (Some(about), Some(long)) = (whole.get_about(), whole.get_long_about()) {
        shown = shown.about(about.clone()).long_about(long.clone());
    }
    match whole.get_after_help() {
        Some(after) => shown.after_help(after.clone()),
        None => shown,
    }
}

/// Prints a manual page, or with `--out` writes all manual pages.
pub(super) fn man(args: &Manual) -> Result<Exit, CliError> {
    let failed = |error: std::io::Error| CliError::Harness(format!("failed to write a manual page: {error}"));
    let mut whole = shown();
    if let Some(out) = &args.out {
        let written = std::fs::create_dir_all(out).and_then(|()| clap_mangen::generate_to(whole, out));
        return written.map(|()| Exit::AsExpected).map_err(CliError::file("write", out));
    }
    whole.build();
    let command = match &args.command {
        None => whole,
        Some(name) => whole.find_subcommand(name).cloned().ok_or_else(|| {
            let all: Vec<&str> = whole.get_subcommands().map(Command::get_name).collect();
            CliError::Usage(format!("there is no command `{name}`; there are {}", all.join(", ")))
        })?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(failed)?;
    printer::data(&String::from_utf8_lossy(&page));
    Ok(Exit::AsExpected)
}
