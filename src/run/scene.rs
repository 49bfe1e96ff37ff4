//! A scene: one environment as its steps see it, with host names, values, stores, and the network view of each vantage.

use std::net::IpAddr;

use parallax_vocab::program::CA_BUNDLE;
use parallax_vocab::question::{Addressing, S3Access, View};

use super::results::Results;
use crate::apply::Environment;
use crate::certs::Leaf;
use crate::cluster::Access;
use crate::tokens::Key;
use parallax_language::fixture::{Export, Store};
use parallax_language::scenario::model::{CLUSTER_AUTHORITY, VantageSpec};
use parallax_language::scenario::template::{self, Reference};
use parallax_plan::EnvironmentPlan;

/// One environment from the view of its steps: its plan, its objects, and its cluster.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) plan: &'a EnvironmentPlan,
    pub(super) environment: &'a Environment,
    pub(super) cluster: &'a Access,
}

impl<'a> Scene<'a> {
    /// The value of a reference: an export of a fixture, or a result of an earlier step. The error says why there is no
    /// value.
    pub(super) fn value(&self, reference: &Reference, results: &Results) -> Result<String, String> {
        if reference.name == template::VANTAGE {
            // Only the vantage knows the path of its file of trusted certificates. The vantage replaces this
            // placeholder by the path.
            return Ok(CA_BUNDLE.to_owned());
        }
        let fixture = self.plan.fixtures.get(&reference.name);
        let (Some(fixture), Some(field)) = (fixture, &reference.field) else { return results.value(reference) };
        let unknown = || format!("`{}` has no value", reference.path());
        match fixture.exports.get(field).ok_or_else(unknown)? {
            Export::Value(value) => Ok(value.clone()),
            Export::Field { kind, name, pointer, .. } => {
                let value = self.environment.fields.get(&(reference.name.clone(), field.clone())).cloned();
                value.ok_or_else(|| format!("{kind} {name} has no {pointer}"))
            }
            Export::EdgeAddress => {
                let edge = self.cluster.edge.map(|it| it.to_string());
                edge.ok_or_else(|| format!("cluster {} has no edge", self.cluster.name))
            }
            Export::Prefix => {
                let prefix = self.plan.fixtures[&reference.name].store.as_ref().and_then(|it| self.prefix(it));
                prefix.ok_or_else(unknown)
            }
            Export::PublicKey => {
                let key = self.environment.signing_keys.get(&reference.name).and_then(Key::public);
                key.map(ToString::to_string).ok_or_else(|| format!("`{}` has no signing key", reference.name))
            }
            Export::ContainerAddress => {
                let beside = self.address_beside(&reference.name);
                beside.map(|it| it.to_string()).ok_or_else(|| format!("`{}` has no container", reference.name))
            }
        }
    }

    /// The IP address of the container that a fixture started outside the cluster. `None` if the fixture has no such
    /// container.
    pub(super) fn address_beside(&self, fixture: &str) -> Option<IpAddr> {
        self.cluster.address_beside(&self.plan.namespace, fixture)
    }

    /// The network view of a vantage: how the vantage resolves names and connects, and which certificates it trusts.
    pub(super) fn view(&self, vantage: &VantageSpec) -> View {
        let root = |id: &String| match id.as_str() {
            CLUSTER_AUTHORITY => Some(self.cluster.authority.clone()),
            id => self.root_of(id),
        };
        let trust = vantage.trust().iter().filter_map(root).collect();
        if vantage.is_inside() {
            return View { trust, ..View::default() };
        }
        if vantage.outside_image().is_some() {
            return View { trust, ..self.cluster.beside.clone() };
        }
        View { trust, ..self.outside() }
    }

    /// The network view of the harness itself: the view of an outside vantage, without any trusted authority.
    pub(super) fn outside(&self) -> View {
        self.cluster.outside.clone()
    }

    /// The network view with which the set-up connects to a store. The view accepts exactly the certificate that was
    /// issued for the store, even if a break makes this certificate invalid. So such a break makes a step fail, and not
    /// the set-up. For a store that the user had before the run, the view trusts the authority in the parameters of the
    /// store's fixture.
    pub(super) fn pinned(&self, fixture: &str, store: &Store) -> View {
        let pin = self.leaf(fixture, store).map(|leaf| leaf.der.clone());
        let trust = store.trust.iter().filter_map(|id| self.root_of(id)).collect();
        View { pin, trust, ..self.outside() }
    }

    /// The certificates of an authority of the environment, as PEM. `None` if the fixture is no authority.
    fn root_of(&self, authority: &str) -> Option<String> {
        self.environment.certificates.root_pem(authority).map(str::to_owned)
    }

    /// The prefix of the object keys that this environment may write in an existing store, a store that the user had
    /// before the run. `None` for a store that the run created. No other run has the same prefix. Environments that
    /// share a namespace (`--namespace`) have the same prefix. These environments run one after the other, and each
    /// begins only after the objects of the previous environment are removed.
    pub(super) fn prefix(&self, store: &Store) -> Option<String> {
        let first = store.prefix.as_ref()?.trim_matches('/');
        let slash = if first.is_empty() { "" } else { "/" };
        Some(format!("{first}{slash}{}/{}", self.environment.run, self.plan.namespace))
    }

    /// The certificate that the set-up issued for a store. `None` if the store has no certificate.
    pub(super) fn leaf(&self, fixture: &str, store: &Store) -> Option<&'a Leaf> {
        self.environment.certificates.leaves.get(&(fixture.to_owned(), store.certificate.clone()?))
    }

    /// The store that a step uses: the store of the fixture `named`, or the only store of the scenario.
    pub(super) fn store(&self, named: Option<&str>) -> Result<(&'a str, &'a Store), String> {
        let mut stores = self.stores();
        match named {
            Some(name) => stores.find(|(id, _)| *id == name).ok_or_else(|| format!("`{name}` is not a store")),
            None => match (stores.next(), stores.next()) {
                (Some(store), None) => Ok(store),
                (None, _) => Err("the scenario has no store".to_owned()),
                (Some(_), Some(_)) => Err("the scenario has several stores; say which: `store: ID`".to_owned()),
            },
        }
    }

    /// All stores of the environment, each with the id of its fixture.
    pub(super) fn stores(&self) -> impl Iterator<Item = (&'a str, &'a Store)> + use<'a> {
        let plan = self.plan;
        plan.fixtures.iter().filter_map(|(id, it)| it.store.as_ref().map(|store| (id.as_str(), store)))
    }

    /// The endpoint of a store, with the credentials that the store's fixture declares for it.
    pub(super) fn access(&self, fixture: &str, store: &Store) -> Result<S3Access, String> {
        let key = (fixture.to_owned(), store.credentials.clone());
        let missing = |what: &str| format!("credentials `{}` of `{fixture}` have no {what}", store.credentials);
        let values = self.environment.credentials.get(&key).ok_or_else(|| missing("values"))?;
        let value = |name: &str| values.get(name).ok_or_else(|| missing(name));
        Ok(S3Access {
            endpoint: store.endpoint.clone(),
            region: store.region.clone(),
            access_key: value("access-key")?.expose().to_owned(),
            secret_key: value("secret-key")?.clone(),
            session_token: None,
            addressing: Addressing::Path,
        })
    }
}
