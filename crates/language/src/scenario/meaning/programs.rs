//! Steps that run programs: that there is one where they run, and that a client can do what it is asked to.

use super::steps::Judge;
use crate::scenario::clients::{CLIENTS, Client};
use crate::scenario::diagnostic::{Diagnostic, list, suggest};
use crate::scenario::model::{ClientStep, ScriptStep, VantageSpec};

/// The image in which `client` steps find their programs.
const CLIENTS_IMAGE: &str = "clients";
/// The client that has an image of its own, and is asked from a page.
const BROWSER: &str = "browser";

impl Judge<'_> {
    pub(super) fn script(&self, script: &ScriptStep, errors: &mut Vec<Diagnostic>) {
        if script.store.is_some() {
            self.store("script", script.store.as_deref(), errors);
        }
        self.variables("/script/env", script.env.keys(), errors);
        // Outside without an image is the user's own machine.
        if let Some((id, vantage)) = self.place()
            && vantage.pod.is_some()
            && vantage.image().is_none()
        {
            let message = format!("there is no program in vantage `{id}`: it holds the agent alone");
            errors.push(self.error("/from", message).fix(image_fix(id, vantage, CLIENTS_IMAGE)));
        }
    }

    pub(super) fn client(&self, step: &ClientStep, errors: &mut Vec<Diagnostic>) {
        let Some(client) = Client::named(&step.client) else {
            let known = CLIENTS.iter().map(|it| it.name);
            let error = self.error("/client/use", format!("there is no client `{}`", step.client));
            errors.push(error.fix(suggest(&step.client, known, "clients")));
            return;
        };
        match step.tasks().as_slice() {
            [_] => {}
            [] => {
                let error = self.key_error("/client", format!("`{}` has nothing to do", client.name));
                errors.push(error.fix("give it one of `presign`, `s3` and `http`"));
            }
            [first, more @ ..] => {
                for second in more {
                    let message = format!("`client` has two tasks: `{first}` and `{second}`");
                    errors.push(self.key_error(&format!("/client/{second}"), message).fix("make it two steps"));
                }
            }
        }
        if let Some(presign) = &step.presign {
            self.presign("client/presign", presign, errors);
            let cannot = presign.methods().into_iter().find(|(method, _)| !client.signs.contains(method));
            if let Some((method, _)) = cannot {
                let message = format!("`{}` signs no URL for {}", client.name, method.to_uppercase());
                let who = CLIENTS.iter().filter(|it| it.signs.contains(&method)).map(|it| it.name).collect::<Vec<_>>();
                let note = if client.note.is_empty() { String::new() } else { format!("{}; ", client.note) };
                let error = self.key_error(&format!("/client/presign/{method}"), message);
                errors.push(error.fix(format!("{note}these sign it: {}", list(&who))));
            }
        }
        if let Some(s3) = &step.s3 {
            self.s3("client/s3", s3, errors);
            self.able("s3", client, client.s3, |it| it.s3, errors);
            if !s3.headers.is_empty() {
                let error = self.key_error("/client/s3/headers", "a client chooses its headers itself".to_owned());
                errors.push(error.fix("ask with an `s3` step where further headers are meant"));
            }
        }
        if let Some(http) = &step.http {
            self.http("client/http", http, errors);
            self.able("http", client, client.http, |it| it.http, errors);
        }
        if step.origin.is_some() && client.name != BROWSER {
            let error = self.key_error("/client/origin", format!("`{}` asks from no page", client.name));
            errors.push(error.fix(format!("only `use: {BROWSER}` has an origin; remove it")));
        }
        if step.chain && step.http.is_some() {
            let error = self.key_error("/client/chain", "a request without S3 needs no credentials".to_owned());
            errors.push(error.fix("remove `chain`"));
        }
        self.variables("/client/env", step.env.keys(), errors);
        if let Some((id, vantage)) = self.place()
            && vantage.image().is_none()
        {
            let image = if client.name == BROWSER { BROWSER } else { CLIENTS_IMAGE };
            let error = self.error("/from", format!("vantage `{id}` has no image, so no `{}` is there", client.name));
            errors.push(error.fix(image_fix(id, vantage, image)));
        }
    }

    fn able(&self, task: &str, client: &Client, can: bool, who: fn(&Client) -> bool, errors: &mut Vec<Diagnostic>) {
        if !can {
            let others = CLIENTS.iter().filter(|it| who(it)).map(|it| it.name).collect::<Vec<_>>();
            let error = self.key_error(&format!("/client/{task}"), format!("`{}` cannot do `{task}`", client.name));
            errors.push(error.fix(format!("these can: {}", list(&others))));
        }
    }

    fn variables<'a>(&self, at: &str, names: impl Iterator<Item = &'a String>, errors: &mut Vec<Diagnostic>) {
        for name in names.filter(|name| name.is_empty() || name.contains(['=', '\0', ' '])) {
            let error = self.key_error(&format!("{at}/{name}"), format!("`{name}` cannot be the name of a variable"));
            errors.push(error.fix("letters, digits and underscores"));
        }
    }

    /// The vantage of the step; one that is not known is told at its own place.
    fn place(&self) -> Option<(&String, &VantageSpec)> {
        self.subject.scenario.vantages.get_key_value(self.step.from.as_deref()?)
    }
}

fn image_fix(id: &str, vantage: &VantageSpec, image: &str) -> String {
    let place = if vantage.pod.is_some() { "pod" } else { "outside" };
    format!("give the vantage one: `{id}: {{ {place}: {{ image: {image}, … }} }}`")
}
