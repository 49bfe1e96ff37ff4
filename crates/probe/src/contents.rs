//! Lists the contents of a store, and later deletes what a variant added to them. So the next variant finds the store
//! unchanged. The harness itself sends these requests before, between and after the variants. No vantage takes part.

use std::collections::{BTreeMap, BTreeSet};
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

/// The time limit for all requests that list a bucket once, or that restore the contents of a bucket once.
const WITHIN: Duration = Duration::from_secs(30);
/// The largest number of objects that one request may delete (S3's own limit).
const AT_ONCE: usize = 1000;

/// The largest number of pages of unfinished multipart uploads that are read from each bucket.
const PAGES_LIMIT: usize = 100;

/// The contents of a store, by bucket.
pub type Contents = BTreeMap<String, Bucket>;

/// The contents of one bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// The objects of the bucket: the entity tag (ETag) by key.
    pub objects: BTreeMap<String, String>,
    /// The unfinished multipart uploads of the bucket: the key and the id of each.
    pub uploads: BTreeSet<(String, String)>,
}

/// Lists the objects and the unfinished multipart uploads of all buckets of a store.
pub async fn contents(view: View, access: &S3Access) -> Result<Contents, Cause> {
    let store = Store::of(view, access)?;
    bounded(store.contents()).await
}

/// Removes everything that a store has in addition to `found`: objects, buckets and unfinished multipart uploads.
/// Returns one line for each change that cannot be undone: an object was deleted or overwritten, or a bucket was
/// deleted.
pub async fn restore(view: View, access: &S3Access, found: &Contents) -> Result<Vec<String>, Cause> {
    let store = Store::of(view, access)?;
    bounded(store.restore(found)).await
}

/// Lists the objects and the unfinished multipart uploads in the bucket `bucket` whose keys begin with `prefix`.
pub async fn below(view: View, access: &S3Access, bucket: &str, prefix: &str) -> Result<Bucket, Cause> {
    let store = Store::of(view, access)?;
    bounded(store.bucket(bucket, prefix)).await
}

/// Removes every object and every unfinished multipart upload whose key begins with `prefix` from the bucket `bucket`.
/// Returns the number of removed objects and uploads. In a bucket with versions, the former versions of the objects
/// stay.
pub async fn remove_below(view: View, access: &S3Access, bucket: &str, prefix: &str) -> Result<usize, Cause> {
    let store = Store::of(view, access)?;
    bounded(store.remove_below(bucket, prefix)).await
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

    /// Converts a failed request into its cause. A failure below HTTP (DNS, connection or TLS) takes precedence over
    /// the SDK's error.
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
            contents.insert(bucket.to_owned(), self.bucket(bucket, "").await?);
        }
        Ok(contents)
    }

    /// Lists the objects and the unfinished multipart uploads in the bucket `bucket` whose keys begin with `prefix`.
    async fn bucket(&self, bucket: &str, prefix: &str) -> Result<Bucket, Cause> {
        let mut objects = BTreeMap::new();
        let listed = pages(&self.client, bucket, prefix, |object| {
            let tag = object.e_tag().unwrap_or_default();
            objects.extend(object.key().map(|key| (key.to_owned(), tag.to_owned())));
            true
        });
        listed.await.map_err(|it| self.cause(it))?;
        // MinIO's listing of uploads accepts a whole key, but no prefix of keys. So the code requests all uploads and
        // filters them.
        let mut uploads = self.uploads(bucket).await?;
        uploads.retain(|(key, _)| key.starts_with(prefix));
        Ok(Bucket { objects, uploads })
    }

    async fn remove_below(&self, bucket: &str, prefix: &str) -> Result<usize, Cause> {
        let Bucket { objects, uploads } = self.bucket(bucket, prefix).await?;
        for (key, id) in &uploads {
            self.abort(bucket, key, id).await?;
        }
        let keys: Vec<String> = objects.into_keys().collect();
        for keys in keys.chunks(AT_ONCE) {
            self.delete(bucket, keys).await?;
        }
        Ok(keys.len() + uploads.len())
    }

    /// The unfinished multipart uploads of a bucket: key and id of each. Some stores do not implement this request;
    /// then the result is empty.
    async fn uploads(&self, bucket: &str) -> Result<BTreeSet<(String, String)>, Cause> {
        let mut uploads = BTreeSet::new();
        let (mut key, mut id) = (None, None);
        for _ in 0..PAGES_LIMIT {
            let page = self.client.list_multipart_uploads().bucket(bucket);
            let page = page.set_key_marker(key.take()).set_upload_id_marker(id.take()).send().await;
            let page = match page.map_err(Failed::from) {
                Ok(page) => page,
                Err(failed) if failed.error.as_ref().is_some_and(|it| it.code == "NotImplemented") => break,
                Err(failed) => return Err(self.cause(failed)),
            };
            let found = page.uploads().iter().filter_map(|it| Some((it.key()?.to_owned(), it.upload_id()?.to_owned())));
            uploads.extend(found);
            if !page.is_truncated().unwrap_or_default() {
                return Ok(uploads);
            }
            key = page.next_key_marker().map(str::to_owned);
            id = page.next_upload_id_marker().map(str::to_owned);
        }
        if key.is_some() || id.is_some() {
            return Err(invalid(format!("there are more than {PAGES_LIMIT} pages of multipart uploads in {bucket}")));
        }
        Ok(uploads)
    }

    async fn restore(&self, found: &Contents) -> Result<Vec<String>, Cause> {
        let Change { abort, remove, drop, lost } = change(found, &self.contents().await?);
        for (bucket, key, id) in abort {
            self.abort(&bucket, &key, &id).await?;
        }
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

    async fn abort(&self, bucket: &str, key: &str, id: &str) -> Result<(), Cause> {
        let aborted = self.client.abort_multipart_upload().bucket(bucket).key(key).upload_id(id).send().await;
        match aborted.map_err(Failed::from) {
            Ok(_) => Ok(()),
            // The upload was completed or aborted after it was listed, so nothing is left to abort.
            Err(failed) if failed.error.as_ref().is_some_and(|it| it.code == "NoSuchUpload") => Ok(()),
            Err(failed) => Err(self.cause(failed)),
        }
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

/// The requests that restore the contents of a store.
#[derive(Debug, Default, PartialEq, Eq)]
struct Change {
    /// The multipart uploads to abort: bucket, key, and id of each.
    abort: Vec<(String, String, String)>,
    /// The keys of the objects to delete, by bucket.
    remove: BTreeMap<String, Vec<String>>,
    /// The names of the buckets to delete.
    drop: Vec<String>,
    /// The objects and buckets that cannot be restored, because their former content is lost.
    lost: Vec<String>,
}

fn change(found: &Contents, now: &Contents) -> Change {
    let mut change = Change::default();
    for (bucket, now) in now {
        let kept = found.get(bucket);
        let begun = |upload: &&(String, String)| kept.is_none_or(|kept| !kept.uploads.contains(*upload));
        let begun = now.uploads.iter().filter(begun);
        change.abort.extend(begun.map(|(key, id)| (bucket.clone(), key.clone(), id.clone())));
        let made = |key: &&String| kept.is_none_or(|kept| !kept.objects.contains_key(*key));
        let made: Vec<String> = now.objects.keys().filter(made).cloned().collect();
        if !made.is_empty() {
            change.remove.insert(bucket.clone(), made);
        }
        if kept.is_none() {
            change.drop.push(bucket.clone());
        }
    }
    for (bucket, kept) in found {
        let Some(now) = now.get(bucket) else {
            change.lost.push(format!("bucket {bucket} is gone"));
            continue;
        };
        let lost = kept.objects.iter().filter_map(|(key, tag)| match now.objects.get(key) {
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
        let bucket = |all: &[(&str, &str)]| Bucket {
            objects: all.iter().map(|(key, tag)| ((*key).to_owned(), (*tag).to_owned())).collect(),
            uploads: BTreeSet::new(),
        };
        of.iter().map(|(name, all)| ((*name).to_owned(), bucket(all))).collect()
    }

    #[test]
    fn only_uploads_that_a_flow_began_are_aborted() {
        let uploads = |all: &[&str]| all.iter().map(|id| ("big".to_owned(), (*id).to_owned())).collect();
        let of = |all: &[&str]| Bucket { uploads: uploads(all), ..Bucket::default() };
        let found = Contents::from([("docs".to_owned(), of(&["of-a-fixture", "ended"]))]);
        let now =
            Contents::from([("docs".to_owned(), of(&["of-a-fixture", "begun"])), ("own".to_owned(), of(&["another"]))]);
        let begun = |bucket: &str, id: &str| (bucket.to_owned(), "big".to_owned(), id.to_owned());
        let change = change(&found, &now);
        assert_eq!(change.abort, [begun("docs", "begun"), begun("own", "another")]);
        assert_eq!((change.remove.len(), change.lost.len()), (0, 0));
    }

    #[test]
    fn additions_are_removed_and_losses_reported() {
        let found = contents(&[("docs", &[("kept", "1"), ("overwritten", "1"), ("deleted", "1")]), ("gone", &[])]);
        let now = contents(&[("docs", &[("kept", "1"), ("overwritten", "2"), ("made", "1")]), ("own", &[("a", "1")])]);
        let expected = Change {
            abort: Vec::new(),
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
