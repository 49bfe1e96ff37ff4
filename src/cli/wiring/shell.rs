//! Connects the user's terminal with a shell at a vantage.

use std::io::Write as _;
use std::pin::Pin;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::machine::engine_error;
use crate::cli::CliError;
use crate::cluster::client_of_file;
use crate::probe::terminal;
use crate::run::look::{Inside, Place};
use parallax_engine::{Engine, RealSurroundings, Terminal, Window};

/// The largest number of bytes that one step copies between the terminal and the shell.
const PIECE_BYTES: usize = 16 * 1024;
/// The exit code for a program that SIGTERM ended, by the convention of shells: 128 and the number of the signal.
const TERMINATED: i32 = 128 + 15;

/// Opens a shell at a vantage by running the script that the process of the kept variant has written there. If `argv`
/// is not empty, runs this program instead of the shell. Returns the exit code of the shell or the program.
pub async fn enter(inside: &Inside, argv: &[String]) -> Result<i32, CliError> {
    let failed = |why: String| CliError::Harness(format!("no shell can be entered: {why}"));
    let argv: Vec<&str> = ["sh", &inside.enter].into_iter().chain(argv.iter().map(String::as_str)).collect();
    let terminal = match &inside.place {
        Place::Here => return here(&argv).await,
        Place::Container(name) => {
            let endpoint = parallax_engine::find(&RealSurroundings).map_err(engine_error)?;
            let engine = Engine::connect(&endpoint).await.map_err(engine_error)?;
            engine.terminal(name, &argv).await.map_err(engine_error)?
        }
        Place::Pod { kubeconfig, namespace, pod, container } => {
            let client = client_of_file(kubeconfig).await.map_err(failed)?;
            let started = terminal::in_pod(client, (namespace, pod, container), &argv).await;
            started.map_err(|error| failed(error.to_string()))?
        }
    };
    connect(terminal).await.map_err(failed)
}

/// Runs a shell on this machine, in the user's terminal. Returns the exit code.
async fn here(argv: &[&str]) -> Result<i32, CliError> {
    let failed = |error| CliError::Harness(format!("no shell can be started: {error}"));
    // With this handler, Ctrl-C does not end this process. The terminal sends SIGINT to the whole process group, but
    // the signal is meant for the program in the shell.
    let _interrupts = signal(SignalKind::interrupt()).map_err(failed)?;
    let status = Command::new(argv[0]).args(&argv[1..]).status().await.map_err(failed)?;
    Ok(status.code().unwrap_or(128))
}

/// Connects the terminal with a process: typed bytes go to the process, and the output of the process goes to the
/// screen. Returns the exit code when the process has ended, or 143 when this program receives SIGTERM.
async fn connect(there: Terminal) -> Result<i32, String> {
    let failed = |error: std::io::Error| format!("the terminal cannot be used: {error}");
    let Terminal { stdin, mut stdout, sizes, exit } = there;
    let raw = Raw::set().map_err(failed)?;
    let mut resized = signal(SignalKind::window_change()).map_err(failed)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let mut written = vec![0; PIECE_BYTES];
    // Typed bytes are sent by a separate task. Otherwise this program could wait for the process to read while the
    // process waits for its output to be read.
    let keyboard = tokio::spawn(type_into(stdin));
    // The channel for sizes is empty, so sending the first size of the window cannot fail.
    let _ = sizes.try_send(window());
    let ended = loop {
        tokio::select! {
            read = stdout.read(&mut written) => match read {
                Ok(count @ 1..) => {
                    let mut screen = std::io::stdout().lock();
                    screen.write_all(&written[..count]).and_then(|()| screen.flush()).map_err(failed)?;
                }
                Ok(0) | Err(_) => break true,
            },
            _ = resized.recv() => drop(sizes.try_send(window())),
            _ = terminated.recv() => break false,
        }
    };
    keyboard.abort();
    drop(raw);
    if ended { exit.await } else { Ok(TERMINATED) }
}

/// Sends typed bytes to the process until standard input ends or the process accepts no more bytes.
async fn type_into(mut there: Pin<Box<dyn AsyncWrite + Send>>) {
    let mut keys = vec![0; PIECE_BYTES];
    let mut keyboard = tokio::io::stdin();
    while let Ok(count @ 1..) = keyboard.read(&mut keys).await {
        let sent = async {
            there.write_all(&keys[..count]).await?;
            there.flush().await
        };
        if sent.await.is_err() {
            break;
        }
    }
}

fn window() -> Window {
    let size = tcgetwinsize(std::io::stdout());
    size.map_or(Window { columns: 80, rows: 24 }, |size| Window { columns: size.ws_col, rows: size.ws_row })
}

/// A terminal in raw mode, in which every key is sent to the program. Dropping this value restores the mode that the
/// terminal had before.
struct Raw(Termios);

impl Raw {
    fn set() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // An error is ignored, because the user's shell restores the mode of the terminal, too.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.0);
    }
}
