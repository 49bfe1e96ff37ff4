//! Calls the module that implements a command.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use parallax_vocab::event::Exit;
use parallax_vocab::{VariantId, inert};

use super::args::{Cli, Command, ImagesCommand, K3s, Selection, Stores};
use super::wiring::{self, Project};
use super::{
    CliError, choose, explain, init, matrix, merge, pages, printer, report, repro, session, shards, shells, standing,
    stores as table_of_stores,
};
use parallax_images::Recipes;
use parallax_language::scenario::schema;
use parallax_record::Log;

/// Runs the command of the command line.
pub async fn dispatch(cli: Cli) -> Result<Exit, CliError> {
    let log = Log::install(cli.verbose);
    let project = || find_project(cli.project.as_deref());
    // The commands for kept variants work in any folder, even without a project. Only a folder that the user names by
    // `--project` must be a project.
    let here = || if cli.project.is_some() { project().map(Some) } else { Ok(project().ok()) };
    match cli.command {
        Command::E2e(options) => {
            let project = Project::load(&project()?)?;
            wiring::check_kubeconfig(options.theirs.kubeconfig.as_deref(), options.theirs.context.as_deref())?;
            let recipes = wiring::recipes(&project.root, options.common.lock)?;
            Box::pin(matrix::run(&project, recipes, options, &log)).await
        }
        Command::Init => init::init(cli.project.as_deref().unwrap_or(Path::new("."))),
        Command::Lint(args) => wiring::lint(&project()?, &args),
        Command::List(args) => {
            let project = Project::load(&project()?)?;
            let chosen = choose_only(&project, &args.selection).await?;
            Ok(list(&project, &chosen.selected, args.json))
        }
        Command::Plan(args) => {
            let project = Project::load(&project()?)?;
            let chosen = choose_only(&project, &args.selection).await?;
            if let Some(left_out) = &chosen.left_out {
                printer::word(&inert(left_out));
            }
            let text = wiring::plan(&project, &chosen.selected, &args)?;
            Ok(if args.json { say_json(&text) } else { say(&text) })
        }
        Command::Images(args) => images(project()?, args.command).await,
        Command::Up(args) => standing::up(&project()?, cli.verbose, &args).await,
        Command::Hold(args) => standing::hold(&project()?, args, &log).await,
        Command::Repro(args) => repro::repro(cli.verbose, args).await,
        Command::Status => standing::status().await,
        Command::Rerun(args) => standing::rerun(here()?.as_deref(), &args).await,
        Command::Watch(args) => standing::watch(here()?.as_deref(), &args).await,
        Command::Exec(args) => standing::exec(here()?.as_deref(), &args).await,
        Command::Shell(args) => standing::shell(here()?.as_deref(), args).await,
        Command::Logs(args) => standing::logs(here()?.as_deref(), args).await,
        Command::Down(args) => standing::down(here()?.as_deref(), &args).await,
        Command::Gc => session::watched(wiring::gc).await,
        Command::Doctor(args) => {
            let project = project().ok();
            session::watched(|sink, cancel| wiring::doctor(args, project, sink, cancel)).await
        }
        Command::Merge(args) => merge::merge(project().ok().as_deref(), &args).await,
        Command::Shards(args) => shards::shards(&Project::load(&project()?)?, args).await,
        Command::Report(args) => report::again(project().ok().as_deref(), &args),
        Command::Explain(args) => explain::explain(project().ok().as_deref(), &args).map(|text| say(&text)),
        Command::Check(args) => {
            wiring::check_kubeconfig(args.kubeconfig.as_deref(), args.context.as_deref())?;
            session::watched(|_, cancel| async move { Box::pin(wiring::check(&args, cancel)).await }).await
        }
        Command::Completions(args) => Ok(shells::completions(args)),
        Command::Man(args) => shells::man(&args),
        Command::Schema(args) => made(&project()?, &pages::schemas(), args.check, "schema"),
        Command::Docs(args) => made(&project()?, &pages::files(), args.check, "docs"),
        Command::Stores(args) => stores(&project()?, &args),
        Command::Reaper(args) => {
            // The reaper runs on a separate thread, because it blocks on a pipe and has a runtime of its own.
            let reaper = tokio::task::spawn_blocking(move || wiring::reaper(&args.args));
            reaper.await.map_err(|error| CliError::Harness(error.to_string()))?
        }
    }
}

/// Runs a command for images.
async fn images(root: PathBuf, command: ImagesCommand) -> Result<Exit, CliError> {
    match command {
        ImagesCommand::List => {
            session::watched(|sink, cancel| async move {
                wiring::images_list(&root, sink, cancel).await.map(|text| say(&text))
            })
            .await
        }
        ImagesCommand::Fetch { k3s, versions, lock, provision } => {
            let project = Project::load(&root)?;
            let recipes = wiring::recipes(&project.root, lock)?;
            let recipes = wiring::at(recipes, &versions.single("images fetch")?)?;
            session::watched(|sink, cancel| async move {
                wiring::images_fetch(&project, &recipes, (k3s, provision), sink, cancel).await
            })
            .await
        }
        ImagesCommand::Bundle { selection, output, k3s, versions, lock, provision } => {
            let project = Project::load(&root)?;
            let recipes = wiring::recipes(&project.root, lock)?;
            let recipes = wiring::at(recipes, &versions.single("images bundle")?)?;
            let out = session::default_out(&project.root);
            let chosen = choose::choose(&project, &selection, (k3s, &recipes), &out).await?;
            session::watched(|sink, cancel| async move {
                let of = (&project, chosen.selected.as_slice(), &recipes);
                wiring::images_bundle(of, (k3s, provision), &output, sink, cancel).await.map(|text| say(&text))
            })
            .await
        }
        ImagesCommand::Load { file, filters, versions, lock, provision } => {
            let project = Project::load(&root)?;
            let recipes = wiring::recipes(&project.root, lock)?;
            let recipes = wiring::at(recipes, &versions.single("images load")?)?;
            let all = !filters.is_empty();
            let chosen = choose_only(&project, &Selection { filters, ..Selection::default() }).await?;
            session::watched(|sink, cancel| async move {
                let of = (&project, chosen.selected.as_slice(), &recipes);
                wiring::images_load(of, (&file, all), provision, sink, cancel).await.map(|text| say(&text))
            })
            .await
        }
        ImagesCommand::Prune { dry_run, lock } => {
            let recipes = wiring::recipes(&root, lock)?;
            session::watched(|sink, cancel| async move {
                wiring::images_prune(&recipes, dry_run, sink, cancel).await.map(|text| say(&text))
            })
            .await
        }
        ImagesCommand::Build { names, output, versions, lock, provision } => {
            let recipes = wiring::at(wiring::recipes(&root, lock)?, &versions.single("images build")?)?;
            session::watched(|sink, cancel| async move {
                let of = (root.as_path(), recipes);
                wiring::images_build(of, (names, output), provision, sink, cancel).await.map(|text| say(&text))
            })
            .await
        }
    }
}

/// Chooses variants for a command that does not run them, with the project's recipes and the default node image.
async fn choose_only(project: &Project, selection: &Selection) -> Result<choose::Chosen, CliError> {
    let recipes = Recipes::of(project.root.clone());
    choose::choose(project, selection, (K3s::Auto, &recipes), &session::default_out(&project.root)).await
}

/// Prints the output of a command. Control characters are escaped, because parts of the text may come from other
/// programs or files.
fn say(text: &str) -> Exit {
    printer::data(&inert(text));
    Exit::AsExpected
}

/// Prints the output of a command as JSON, for other programs. JSON already escapes control characters.
fn say_json(text: &str) -> Exit {
    printer::data(text);
    Exit::AsExpected
}

fn list(project: &Project, selected: &[VariantId], json: bool) -> Exit {
    let mut listed = project.list();
    listed.retain(|row| selected.contains(&row.variant));
    if json {
        let rows: Vec<_> = listed
            .iter()
            .map(|row| serde_json::json!({ "variant": row.variant, "summary": row.summary, "labels": row.labels, "file": row.file }))
            .collect();
        let text = serde_json::to_string_pretty(&rows).expect("texts become JSON");
        return say_json(&format!("{text}\n"));
    }
    // The width is limited, because `format!` panics at a width above 65,535, and an untrusted project may contain a
    // longer name.
    let width = listed.iter().map(|row| row.variant.as_str().len()).max().unwrap_or(0).min(100);
    let text = listed.iter().fold(String::new(), |mut text, row| {
        let line = format!("{:<width$}  {}", row.variant.as_str(), row.summary);
        let _ = writeln!(text, "{}", line.trim_end());
        text
    });
    say(&text)
}

fn stores(root: &Path, args: &Stores) -> Result<Exit, CliError> {
    let mut table = table_of_stores::Table::of(&Project::load(root)?)?;
    if args.write || args.check {
        return made(
            root,
            &[(table_of_stores::PAGE, table.page()), (table_of_stores::PROOF_PAGE, table.proof_page())],
            args.check,
            "stores --write",
        );
    }
    if let Some(run) = &args.of {
        table.compare(&parallax_record::read(&report::named(Some(root), run))?);
    }
    if args.json {
        let text = serde_json::to_string_pretty(&table).expect("texts become JSON");
        say_json(&format!("{text}\n"));
    } else {
        say(&table.page());
    }
    Ok(if table.holds() { Exit::AsExpected } else { Exit::NotAsExpected })
}

/// Writes files that are generated from the program's types. With `check`, writes nothing, and prints the name of each
/// file that differs from what would be written.
fn made(root: &Path, files: &[(&'static str, String)], check: bool, command: &str) -> Result<Exit, CliError> {
    if check {
        let differences = schema::stale(root, files);
        for file in &differences {
            printer::word(&format!("{file} is not what `parallax {command}` writes"));
        }
        return Ok(if differences.is_empty() { Exit::AsExpected } else { Exit::NotAsExpected });
    }
    for (file, text) in files {
        let path = root.join(file);
        let folder = path.parent().unwrap_or(root);
        let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text));
        written.map_err(CliError::file("write", &path))?;
        printer::word(&format!("wrote {file}"));
    }
    Ok(Exit::AsExpected)
}

/// Returns the folder that contains `scenarios/`. If `given` is set, the folder is `given`. Otherwise it is the current
/// folder, or the nearest folder above the current one that contains `scenarios/`.
pub(super) fn find_project(given: Option<&Path>) -> Result<PathBuf, CliError> {
    if let Some(given) = given {
        if given.join("scenarios").is_dir() {
            return Ok(given.to_owned());
        }
        return Err(CliError::Usage(format!(
            "{} holds no scenarios/; --project names the folder that does",
            given.display()
        )));
    }
    let here =
        std::env::current_dir().map_err(|error| CliError::Harness(format!("failed to find where we are: {error}")))?;
    here.ancestors().find(|folder| folder.join("scenarios").is_dir()).map(Path::to_owned).ok_or_else(|| {
        CliError::Usage(
            "no scenarios/ here or in any folder above; go to your project, name it with --project, or begin one with `parallax init`".to_owned(),
        )
    })
}
