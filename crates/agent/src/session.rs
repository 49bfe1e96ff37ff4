//! A session reads questions and writes answers in frames (`parallax_vocab::wire`). Several questions are processed at
//! the same time.
//!
//! The session ends when its input ends. But the kubelet does not end an exec that has lost its client. Therefore the
//! session also ends if no frame arrives for a long time, because the harness must then be gone. A panic ends the
//! process at once, with the message on standard error. Otherwise a crash of the agent could be reported as the cause
//! of a failed question.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parallax_vocab::cause::Cause;
use parallax_vocab::prober::Series;
use parallax_vocab::wire::{self, FromAgent, SILENCE_LIMIT_MS, ToAgent};
use parallax_vocab::{Answer, Question};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Semaphore, mpsc};

use crate::addresses;
use crate::memory;
use crate::probers::Probers;

/// The largest number of questions that are processed at the same time. When this number is reached, the agent reads no
/// further question until one of these questions is answered.
const AT_ONCE: usize = 64;

/// The exit code after a panic, as in Rust's own runtime.
const PANIC_EXIT_CODE: i32 = 101;

/// Runs a session on standard input and standard output.
///
/// The program may be a guest in the container of somebody else's application (`guest`). Then this function removes
/// the program's file when the session ends, even if the harness was killed.
pub(crate) async fn serve(guest: bool) -> anyhow::Result<()> {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(PANIC_EXIT_CODE);
    }));
    if guest {
        memory::yield_first();
    }
    let done = run(tokio::io::stdin(), tokio::io::stdout(), Duration::from_millis(SILENCE_LIMIT_MS)).await;
    if guest {
        // An error is ignored: the harness also removes this file, and reports a failure. If another session has
        // replaced the file in the meantime, the kernel appends " (deleted)" to the path of this program. Then nothing
        // is removed, and the other session's file stays.
        let _ = std::env::current_exe().map(std::fs::remove_file);
    }
    done
}

/// Runs a session on any pair of streams. The session ends if no byte arrives for `silence`.
async fn run(
    mut input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
    silence: Duration,
) -> anyhow::Result<()> {
    let (frames, outbox) = mpsc::channel(AT_ONCE);
    let writer = tokio::spawn(write(output, outbox));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let hello = FromAgent::Hello { version: wire::VERSION, host, addresses: addresses::own() };
    frames.send(wire::encode(&hello)?).await.context("standard output is closed")?;

    let probers = Arc::new(Probers::default());
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut buffer = Vec::new();
    loop {
        while let Some(message) = wire::decode::<ToAgent>(&mut buffer).context("failed to read a frame")? {
            if matches!(message, ToAgent::Heartbeat) {
                continue;
            }
            let turn = turns.clone().acquire_owned().await.context("no further questions are taken")?;
            let (frames, probers) = (frames.clone(), probers.clone());
            tokio::spawn(async move {
                let frame = match message {
                    ToAgent::Ask { request, question } => answer(request, &question).await,
                    ToAgent::Prober { request, prober, order } => series(request, probers.execute(prober, order).await),
                    ToAgent::Heartbeat => return,
                };
                // `send` fails only if the output is closed. The session then ends anyway, so the error is ignored.
                let _ = frames.send(frame).await;
                drop(turn);
            });
        }
        match tokio::time::timeout(silence, input.read_buf(&mut buffer)).await {
            Ok(Ok(0)) => break,
            Ok(Ok(_)) if !writer.is_finished() => {}
            Ok(Ok(_)) => break,
            Ok(Err(why)) => return Err(why).context("failed to read standard input"),
            Err(_) => anyhow::bail!("no frame for {} s: the harness is gone", silence.as_secs()),
        }
    }
    drop(frames);
    writer.abort();
    Ok(())
}

async fn answer(request: u64, question: &Question) -> Vec<u8> {
    let answer = parallax_probe::ask(question).await;
    let evidence = answer.evidence.clone();
    wire::encode(&FromAgent::Answered { request, answer: Box::new(answer) }).unwrap_or_else(|why| {
        let cause = Cause::Client { detail: format!("the answer cannot be sent: {why}") };
        let answer = Box::new(Answer { outcome: Err(cause), evidence });
        wire::encode(&FromAgent::Answered { request, answer })
            .expect("evidence and one sentence are shorter than a frame")
    })
}

fn series(request: u64, series: Option<Box<Series>>) -> Vec<u8> {
    wire::encode(&FromAgent::Series { request, series }).expect("a page is shorter than a frame")
}

async fn write(mut output: impl AsyncWrite + Unpin, mut outbox: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = outbox.recv().await {
        if output.write_all(&frame).await.is_err() || output.flush().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silence_ends_a_session_and_so_does_the_end_of_its_input() {
        let (ours, theirs) = tokio::io::duplex(1024);
        let silent = run(theirs, tokio::io::sink(), Duration::from_millis(50)).await;
        assert!(silent.unwrap_err().to_string().contains("the harness is gone"));
        drop(ours);
        run(tokio::io::empty(), tokio::io::sink(), Duration::from_secs(10)).await.unwrap();
    }
}
