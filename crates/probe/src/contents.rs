//! Reads the contents of a store and restores them. The harness does this itself between two variants, not at a
//! vantage.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use parallax_vocab::question::{S3Access, View};
use parallax_vocab::{Cause, millis};

use crate::connector::Connector;
use crate::dial::Dialler;
use crate::invalid;
use crate::s3::{Failed, config, pages};
use crate::trail::Trail;

/// Time limit for all calls of one listing, or of one restoration.
const WITHIN: Duration = Duration::from_secs(30);
/// The most objects that one request may delete (S3's own limit).
const AT_ONCE: usize = 1000;

/// The contents of a store: the entity tags of its objects, by bucket and key.
pub type Contents = BTreeMap<String, BTreeMap<String, String>>;

/// Lists everything in a store.
pub async fn contents(view: View, access: &S3Access) -> Result<Contents, Cause> {
    let store = Store::of(view, access)?;
    bounded(store.contents()).await
}

/// Deletes what was added to a store after `found` was listed. Returns what cannot be restored: objects that were
/// deleted or overwritten.
pub async fn restore(view: View, access: &S3Access, found: &Contents) -> Result<Vec<String>, Cause> {
    let store = Store::of(view, access)?;
    bounded(store.restore(found)).await
}

async fn bounded<T>(work: impl Future<Output = Result<T, Cause>>) -> Result<T, Cause> {
    let waited_ms = millis(WITHIN);
    let over = |_| Cause::Deadline { waited_ms, detail: "a store's contents".to_owned() };
    tokio::time::timeout(WITHIN, Box::pin(work)).await.map_err(over)?
}

struct Store {
    client: Client,
    connector: Connector,
}

impl Store {
    fn of(view: View, access: &S3Access) -> Result<Self, Cause> {
        let connector = Connector::new(Dialler::new(view, Trail::begin(), Instant::now() + WITHIN));
        let config = config(access)?.http_client(connector.clone()).build();
        Ok(Self { client: Client::from_conf(config), connector })
    }

    /// The cause of a failed call: the first layer that failed.
    fn cause(&self, failed: Failed) -> Cause {
        let last = self.connector.take_last();
        match (last.cause, failed.error) {
            (Some(cause), _) => cause,
            (None, Some(error)) => {
                let status = last.head.map(|(status, _)| status).unwrap_or_default();
                Cause::Status { status, s3: Some(error.code), detail: error.message }
            }
            (None, None) => invalid(failed.words),
        }
    }

    async fn contents(&self) -> Result<Contents, Cause> {
        let buckets = self.client.list_buckets().send().await.map_err(|it| self.cause(it.into()))?;
        let mut contents = Contents::new();
        for bucket in buckets.buckets().iter().filter_map(|it| it.name()) {
            let objects = contents.entry(bucket.to_owned()).or_default();
            let listed = pages(&self.client, bucket, "", |object| {
                let tag = object.e_tag().unwrap_or_default();
                objects.extend(object.key().map(|key| (key.to_owned(), tag.to_owned())));
                true
            });
            listed.await.map_err(|it| self.cause(it))?;
        }
        Ok(contents)
    }

    async fn restore(&self, found: &Contents) -> Result<Vec<String>, Cause> {
        let Change { remove, drop, lost } = change(found, &self.contents().await?);
        for (bucket, keys) in &remove {
            for keys in keys.chunks(AT_ONCE) {
                self.delete(bucket, keys).await?;
            }
        }
        for bucket in drop {
            self.client.delete_bucket().bucket(bucket).send().await.map_err(|it| self.cause(it.into()))?;
        }
        Ok(lost)
    }

    async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), Cause> {
        let object = |key: &String| ObjectIdentifier::builder().key(key).build();
        let objects = keys.iter().map(object).collect::<Result<Vec<_>, _>>();
        let objects = objects.map_err(|why| invalid(why.to_string()))?;
        let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build();
        let delete = delete.map_err(|why| invalid(why.to_string()))?;
        let done = self.client.delete_objects().bucket(bucket).delete(delete).send().await;
        let done = done.map_err(|it| self.cause(it.into()))?;
        match done.errors().first() {
            None => Ok(()),
            Some(error) => Err(Cause::Status {
                status: 200,
                s3: error.code().map(str::to_owned),
                detail: format!("{}: {}", error.key().unwrap_or_default(), error.message().unwrap_or_default()),
            }),
        }
    }
}

/// What must be done to restore the contents of a store.
#[derive(Debug, Default, PartialEq, Eq)]
struct Change {
    /// Objects to delete, by bucket.
    remove: BTreeMap<String, Vec<String>>,
    /// Buckets to delete.
    drop: Vec<String>,
    /// What cannot be restored.
    lost: Vec<String>,
}

fn change(found: &Contents, now: &Contents) -> Change {
    let mut change = Change::default();
    for (bucket, objects) in now {
        let kept = found.get(bucket);
        let made = |key: &&String| kept.is_none_or(|kept| !kept.contains_key(*key));
        let made: Vec<String> = objects.keys().filter(made).cloned().collect();
        if !made.is_empty() {
            change.remove.insert(bucket.clone(), made);
        }
        if kept.is_none() {
            change.drop.push(bucket.clone());
        }
    }
    for (bucket, kept) in found {
        let Some(objects) = now.get(bucket) else {
            change.lost.push(format!("bucket {bucket} is gone"));
            continue;
        };
        let lost = kept.iter().filter_map(|(key, tag)| match objects.get(key) {
            None => Some(format!("{bucket}/{key} is gone")),
            Some(now) if now != tag => Some(format!("{bucket}/{key} was overwritten")),
            Some(_) => None,
        });
        change.lost.extend(lost);
    }
    change
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(of: &[(&str, &[(&str, &str)])]) -> Contents {
        let objects =
            |all: &[(&str, &str)]| all.iter().map(|(key, tag)| ((*key).to_owned(), (*tag).to_owned())).collect();
        of.iter().map(|(bucket, all)| ((*bucket).to_owned(), objects(all))).collect()
    }

    #[test]
    fn additions_are_removed_and_losses_reported() {
        let found = contents(&[("docs", &[("kept", "1"), ("overwritten", "1"), ("deleted", "1")]), ("gone", &[])]);
        let now = contents(&[("docs", &[("kept", "1"), ("overwritten", "2"), ("made", "1")]), ("own", &[("a", "1")])]);
        let expected = Change {
            remove: BTreeMap::from([
                ("docs".to_owned(), vec!["made".to_owned()]),
                ("own".to_owned(), vec!["a".to_owned()]),
            ]),
            drop: vec!["own".to_owned()],
            lost: vec![
                "docs/deleted is gone".to_owned(),
                "docs/overwritten was overwritten".to_owned(),
                "bucket gone is gone".to_owned(),
            ],
        };
        assert_eq!(change(&found, &now), expected);
        assert_eq!(change(&found, &found), Change::default());
    }
}
