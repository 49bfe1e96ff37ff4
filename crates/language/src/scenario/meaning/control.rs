//! Checks that a break has a control: a step that holds after the first failing step.
//!
//! Without a control, a break can seem to fail in the declared way although its environment failed for another reason.
//! Some causes can come only from a server that works, so a failure with such a cause needs no control. A step that
//! only asks the apiserver is not a control for a failing step that asks from a vantage. The apiserver would answer
//! even if the store, the host name or the vantage's network were gone.

use parallax_vocab::{DnsFault, TlsFault};

use super::breaks::Expectations;
use super::readiness::is_readiness;
use crate::scenario::action::Role;
use crate::scenario::check::Places as _;
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::document::join;
use crate::scenario::model::{CauseSpec, Step};

/// Returns an error if a break has the key `no-control` although the break has a control or needs none. An empty reason
/// is an error too.
pub(super) fn check(it: &Expectations<'_>) -> Option<Diagnostic> {
    let reason = it.spec.no_control.as_ref()?;
    let at = join(&join("/breaks", it.id), "no-control");
    if reason.trim().is_empty() {
        let error = it.document.error(&at, format!("the break `{}` has no control, but the reason is empty", it.id));
        return Some(error.fix("write why no step can hold after the first failing one"));
    }
    let message = match needs_control(it) {
        Ok(()) => return None,
        Err(Spared::Ready) => "the flow is not run, so this break needs no control".to_owned(),
        Err(Spared::Own(step)) => format!("the cause of `{step}` shows that its peer works, so it needs no control"),
        Err(Spared::By(step)) => format!("step `{step}` holds after the first failing one, so there is a control"),
    };
    Some(it.document.key_error(&at, message).fix("remove `no-control`"))
}

/// Returns a warning if a break needs a control and has none.
pub fn uncontrolled(it: &Expectations<'_>) -> Option<Diagnostic> {
    if it.spec.no_control.is_some() || it.spec.fails.is_empty() || needs_control(it).is_err() {
        return None;
    }
    let at = join(&join("/breaks", it.id), "fails");
    let none = format!("no step of the break `{}` holds after the first failing one", it.id);
    let message = match holding(it).next() {
        Some(step) => format!(
            "{none} and asks from a vantage: `{}` only asks the apiserver, which another fault could leave as it is",
            step.id
        ),
        None => format!("{none}, so another fault could cause the same failure"),
    };
    let fix = "move a step behind it that the change does not affect, or say why none can hold: `no-control: REASON`";
    Some(it.document.key_error(&at, message).warning().fix(fix))
}

/// The reason why the lack of a control is not reported: the break needs no control, or it has a control.
enum Spared {
    /// The break makes a readiness condition fail, so the flow is not run.
    Ready,
    /// The step with this id fails with a cause that only a working server can produce, so the break needs no control.
    Own(String),
    /// The step with this id is the control.
    By(String),
}

fn needs_control(it: &Expectations<'_>) -> Result<(), Spared> {
    let fails = &it.spec.fails;
    if fails.keys().any(|what| is_readiness(what)) {
        return Err(Spared::Ready);
    }
    if let Some((step, _)) = fails.iter().find(|(_, cause)| comes_from_working_peer(cause)) {
        return Err(Spared::Own(step.clone()));
    }
    let of_vantage = it.changed.steps().iter().any(|it| fails.contains_key(&it.step.id) && sees(it.step));
    let control = holding(it).find(|step| !of_vantage || sees(step));
    control.map_or(Ok(()), |step| Err(Spared::By(step.id.clone())))
}

/// Returns the possible controls: steps after the first failing step. Each of them neither fails nor is blocked, and it
/// asks or changes something.
fn holding<'a>(it: &'a Expectations<'_>) -> impl Iterator<Item = &'a Step> {
    let fails = &it.spec.fails;
    let steps = it.changed.steps().into_iter().map(|it| it.step);
    let after = steps.skip_while(|step| !fails.contains_key(&step.id));
    after.filter(|step| !fails.contains_key(&step.id) && !it.spec.blocks.contains(&step.id) && asks(step))
}

/// Whether only a server that works can cause this failure. There are three cases: a store or a token service returns
/// its own error code, a server has the wrong certificate, or a name server does not have the name.
fn comes_from_working_peer(cause: &CauseSpec) -> bool {
    let of_certificate = |fault: TlsFault| match fault {
        TlsFault::UnknownAuthority
        | TlsFault::Expired
        | TlsFault::NotYetValid
        | TlsFault::NameMismatch
        | TlsFault::BadCertificate => true,
        TlsFault::NotTls | TlsFault::Handshake => false,
    };
    let of_name = |fault: &DnsFault| match fault {
        DnsFault::NoSuchName | DnsFault::NoAddress => true,
        DnsFault::ServerFailure | DnsFault::Refused | DnsFault::Timeout => false,
    };
    let answered = cause.dns.as_ref().is_some_and(|it| it.0.iter().all(of_name));
    answered || cause.s3.is_some() || cause.sts.is_some() || cause.tls.is_some_and(of_certificate)
}

/// Whether a step asks the environment something or changes it, so that it can be a control. A step that signs or that
/// starts a prober does neither. A step that only judges earlier measurements says nothing about the present
/// environment, so it cannot be a control.
fn asks(step: &Step) -> bool {
    match step.action.role() {
        Role::Asks(it) => it.special().signs.is_none(),
        Role::Looks(..) | Role::Changes(..) => true,
        Role::Directs(it, _) => it.counts().is_some(),
    }
}

/// Whether the step observes something from a vantage. Every other step asks the apiserver, or runs a program through
/// the apiserver.
fn sees(step: &Step) -> bool {
    match step.action.role() {
        Role::Asks(_) => true,
        Role::Directs(it, _) => it.counts().is_some(),
        Role::Looks(..) | Role::Changes(..) => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture::Library;
    use crate::scenario::{Diagnostic, Loaded};

    fn loaded(body: &str) -> Result<Loaded, Vec<Diagnostic>> {
        let head = "name: s\nsummary: x\nvantages: { host: { outside: {} } }\n";
        Loaded::read(&Library::shipped(), "s", "s.yaml", format!("{head}{body}").as_bytes())
    }

    const FLOW: &str = r#"
flow:
  - { id: before, from: host, dns: { name: a.example.com }, expect: { dns: no-such-name } }
  - { id: asked, from: host, http: { get: "http://{{ A }}/" }, expect: { status: 200 } }
  - { id: last, from: host, dns: { name: b.example.com }, expect: { dns: no-such-name } }
"#;

    fn warnings(breaks: &str) -> Vec<String> {
        let flow = FLOW.replace("{{ A }}", "a.example.com");
        let loaded = loaded(&format!("{flow}breaks:\n  b: {{ {breaks} }}\n")).unwrap_or_else(|it| panic!("{it:#?}"));
        loaded.warnings.into_iter().map(|it| it.message).collect()
    }

    #[test]
    fn a_break_needs_a_step_that_holds_after_the_first_failing_one() {
        let other =
            "change: { flow: { asked: { http: { get: \"http://other/\" } } } }, fails: { asked: { status: 500 } }";
        assert_eq!(warnings(other), Vec::<String>::new());
        // After this change, the only step that holds comes before the first failing step, so the break has no control.
        let removed = other.replace("flow: {", "flow: { last: remove,");
        let found = warnings(&removed);
        assert!(found.len() == 1 && found[0].contains("no step of the break `b` holds after"), "{found:?}");
        // A step that fails or that is blocked cannot be the control of a break.
        let fails = other.replace("fails: {", "fails: { last: { mismatch: dns },");
        assert_eq!(warnings(&fails).len(), 1);
        let blocked = other.replace("flow: {", "flow: { last: { needs: [asked] },") + ", blocks: [last]";
        assert_eq!(warnings(&blocked).len(), 1);
        // A declared reason (`no-control`) suppresses the warning about the missing control.
        assert_eq!(warnings(&(removed + ", no-control: nothing else is there")), Vec::<String>::new());
    }

    #[test]
    fn what_only_asks_the_apiserver_is_no_control_for_a_vantage() {
        let applies = "{ id: last, apply: { objects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: a } }] } }";
        let reads = "{ id: last, resource: { api-version: v1, kind: Pod, name: a }, expect: { absent: true } }";
        let scales = "{ id: last, scale: { deployment: a, replicas: 0 } }";
        let waits = "{ id: last, wait: { deployment: a } }";
        let http = "{ id: asked, from: host, http: { get: \"http://a.example.com/\" }, expect: { status: 200 } }";
        let pod = "{ id: asked, resource: { api-version: v1, kind: Pod, name: a }, expect: { absent: true } }";
        let of_http =
            "change: { flow: { asked: { http: { get: \"http://other/\" } } } }, fails: { asked: { connect: refused } }";
        let of_pod =
            "change: { flow: { asked: { resource: { name: b } } } }, fails: { asked: { resource: it exists } }";
        for last in [applies, reads, scales, waits] {
            let found = |first: &str, of: &str| {
                let body = format!("flow:\n  - {first}\n  - {last}\nbreaks:\n  b: {{ {of} }}\n");
                let loaded = loaded(&body).unwrap_or_else(|it| panic!("{it:#?}"));
                loaded.warnings.into_iter().map(|it| it.message).collect::<Vec<_>>()
            };
            let found_for_http = found(http, of_http);
            assert!(found_for_http.len() == 1, "{last}: {found_for_http:?}");
            assert!(found_for_http[0].contains("`last` only asks the apiserver"), "{last}: {found_for_http:?}");
            assert_eq!(found(pod, of_pod), Vec::<String>::new(), "{last}");
        }
    }

    #[test]
    fn a_cause_of_a_working_peer_is_its_own_control() {
        for (cause, warns) in [
            ("status: 403, s3: AccessDenied", false),
            ("status: 403", true),
            ("tls: expired", false),
            ("tls: handshake", true),
            ("dns: no-such-name", false),
            ("dns: [no-such-name, server-failure]", true),
            ("dns: timeout", true),
            ("connect: refused", true),
            ("mismatch: status", true),
        ] {
            let change = "flow: { last: remove, asked: { http: { get: \"https://other/\" } } }";
            let found = warnings(&format!("change: {{ {change} }}, fails: {{ asked: {{ {cause} }} }}"));
            assert_eq!(found.len(), usize::from(warns), "{cause}: {found:?}");
        }
    }

    #[test]
    fn a_reason_without_need_or_without_words_is_an_error() {
        let change = "change: { flow: { asked: { http: { get: \"http://other/\" } } } }";
        for (rest, expected) in [
            ("fails: { asked: { status: 500 } }, no-control: none", "step `last` holds after the first failing one"),
            (
                "fails: { asked: { s3: AccessDenied } }, no-control: none",
                "the cause of `asked` shows that its peer works",
            ),
            ("fails: { asked: { status: 500 }, last: { mismatch: dns } }, no-control: ' '", "the reason is empty"),
        ] {
            let flow = FLOW.replace("{{ A }}", "a.example.com");
            let errors = loaded(&format!("{flow}breaks:\n  b: {{ {change}, {rest} }}\n")).expect_err(rest);
            assert!(errors.iter().any(|it| it.message.contains(expected)), "{rest}: {errors:#?}");
        }
    }
}
