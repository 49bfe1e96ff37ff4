//! Writes as YAML the Job that runs the shards, and the object with the project's files: a `ConfigMap`, or a Secret if
//! objects of charts are among them. The YAML is for people who read and change it.

use std::fmt::{self, Display, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::archive::OBJECTS;
use crate::bucket::Place;
use crate::cli::wiring::READY_MADE;

/// The script that runs in each pod, in the project's folder.
const SCRIPT: &str = include_str!("script.sh");
/// The key of the archive in the `ConfigMap` or the Secret, which is also its file name in the pod.
const ARCHIVE: &str = "project.tar.gz";
/// Paths in the pod. `AT` is the folder of the archive. `PROJECT` is the folder of the unpacked project.
/// `AUTHORITIES` is the folder with the authorities that issued the store's certificate. `CACHE` is the folder of the
/// image cache; the pod's image sets `PARALLAX_CACHE` to the same path.
const AT: &str = "/etc/parallax/project";
const PROJECT: &str = "/project";
const AUTHORITIES: &str = "/etc/parallax/store";
const CACHE: &str = "/var/cache/parallax";
/// The time in seconds between SIGTERM and SIGKILL when Kubernetes stops a pod. In this time, the run cleans up and
/// uploads its record.
const GRACE_S: u32 = 120;

/// The place in which a pod finds the project's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Files {
    /// A `ConfigMap` contains the files, or a Secret if [`Self::Archive::has_objects`].
    Archive {
        /// The compressed tar archive with the files.
        archive: Vec<u8>,
        /// Whether the archive has objects that were made of charts. These may contain passwords and private keys.
        has_objects: bool,
    },
    /// The folder of the pod's image that contains the files.
    Image(String),
}

/// The values that the manifest contains. A text may contain any character, because each text is quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) shards: u16,
    pub(super) parallelism: u16,
    pub(super) image: String,
    pub(super) files: Files,
    /// The folder of the Job in the bucket. Each shard uploads its record into a folder below it.
    pub(super) upload: Place,
    pub(super) endpoint: Option<String>,
    pub(super) region: String,
    pub(super) secret: Option<String>,
    pub(super) service_account: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) cpu: String,
    pub(super) memory: String,
    pub(super) node_cache: Option<String>,
    /// The arguments of `parallax e2e` in each pod.
    pub(super) arguments: Vec<String>,
}

/// Writes a text as a YAML string. It is written as a JSON string, because each JSON string is also a valid YAML
/// string in double quotes.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self.0).map_err(|_| fmt::Error)?)
    }
}

impl Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, upload, shards, .. } = self;
        let namespace = self.namespace.as_ref().map(|it| format!(" --namespace {it}")).unwrap_or_default();
        writeln!(f, "# A run of Parallax in {shards} shards. `kubectl create -f FILE` starts it.")?;
        writeln!(f, "#   kubectl wait{namespace} --for=condition=Complete --timeout=2h job/{name}")?;
        writeln!(f, "#   parallax merge {upload} --out whole")?;
        writeln!(f, "# A shard that has a verdict succeeds, whatever the verdict is: `merge` tells it.")?;
        if let Files::Archive { archive, has_objects } = &self.files {
            let (kind, data) = if *has_objects { ("Secret", "data") } else { ("ConfigMap", "binaryData") };
            writeln!(f, "apiVersion: v1\nkind: {kind}")?;
            self.metadata(f)?;
            writeln!(f, "{data}:\n  {ARCHIVE}: {}\n---", STANDARD.encode(archive))?;
        }
        f.write_str("apiVersion: batch/v1\nkind: Job\n")?;
        self.metadata(f)?;
        self.job(f)?;
        self.container(f)?;
        self.volumes(f)
    }
}

impl Manifest {
    fn metadata(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "metadata:\n  name: {}", Quoted(&self.name))?;
        if let Some(namespace) = &self.namespace {
            writeln!(f, "  namespace: {}", Quoted(namespace))?;
        }
        writeln!(f, "  labels: {{ app.kubernetes.io/name: parallax-shards }}")
    }

    fn job(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shards, parallelism) = (self.shards, self.parallelism);
        write!(
            f,
            "\
spec:
  completionMode: Indexed
  completions: {shards}
  parallelism: {parallelism}
  # One more try where the machine failed. A wrong command line or scenario fails each time.
  backoffLimitPerIndex: 1
  podFailurePolicy:
    rules:
      - action: Ignore
        onPodConditions: [{{ type: DisruptionTarget, status: \"True\" }}]
      - action: FailIndex
        onExitCodes: {{ containerName: shard, operator: In, values: [2] }}
  template:
    metadata:
      labels: {{ app.kubernetes.io/name: parallax-shards }}
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: {GRACE_S}
      enableServiceLinks: false
"
        )?;
        match &self.service_account {
            Some(account) => writeln!(f, "      serviceAccountName: {}", Quoted(account))?,
            None => writeln!(f, "      automountServiceAccountToken: false")?,
        }
        f.write_str(
            "      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector: { matchLabels: { app.kubernetes.io/name: parallax-shards } }
",
        )
    }

    fn container(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "      containers:
        - name: shard
          image: {}
          # The engine in the pod starts the nodes of clusters.
          securityContext: {{ privileged: true }}
          resources: {{ requests: {{ cpu: {}, memory: {} }} }}
          command:
            - sh
            - -euc
            - |
",
            Quoted(&self.image),
            Quoted(&self.cpu),
            Quoted(&self.memory)
        )?;
        let enter = match &self.files {
            Files::Archive { .. } => {
                format!("mkdir -p {PROJECT}\ntar -xzf {AT}/{ARCHIVE} -C {PROJECT}\ncd {PROJECT}\n")
            }
            Files::Image(_) => String::new(),
        };
        for line in enter.lines().chain(SCRIPT.lines()) {
            writeln!(f, "              {line}")?;
        }
        writeln!(f, "            - shard")?;
        for argument in &self.arguments {
            // The `$` before a parenthesis is doubled, because Kubernetes would replace `$(NAME)` with the value of an
            // environment variable.
            writeln!(f, "            - {}", Quoted(&argument.replace("$(", "$$(")))?;
        }
        if let Files::Image(folder) = &self.files {
            writeln!(f, "          workingDir: {}", Quoted(folder))?;
        }
        writeln!(f, "          env:")?;
        let shards = self.shards.to_string();
        let upload = self.upload.to_string();
        let authorities = format!("{AUTHORITIES}/ca.crt");
        let objects = format!("{PROJECT}/{OBJECTS}");
        let has_objects = matches!(self.files, Files::Archive { has_objects: true, .. });
        let variables = [
            ("SHARDS", Some(shards.as_str())),
            ("UPLOAD", Some(&upload)),
            (READY_MADE, has_objects.then_some(objects.as_str())),
            ("AWS_ENDPOINT_URL_S3", self.endpoint.as_deref()),
            ("AWS_REGION", Some(&self.region)),
            ("AWS_CA_BUNDLE", self.ca.as_ref().map(|_| authorities.as_str())),
        ];
        for (name, value) in variables.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            writeln!(f, "            - {{ name: {name}, value: {} }}", Quoted(value))?;
        }
        if let Some(secret) = &self.secret {
            writeln!(f, "          envFrom: [{{ secretRef: {{ name: {} }} }}]", Quoted(secret))?;
        }
        writeln!(f, "          volumeMounts:")?;
        for (name, path, _) in self.mounts() {
            writeln!(f, "            - {{ name: {name}, mountPath: {path} }}")?;
        }
        Ok(())
    }

    fn volumes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "      volumes:")?;
        for (name, _, source) in self.mounts() {
            writeln!(f, "        - {{ name: {name}, {source} }}")?;
        }
        Ok(())
    }

    /// Returns the volumes of a pod, each with its name, its mount point and its source.
    fn mounts(&self) -> Vec<(&'static str, &'static str, String)> {
        // The engine in the pod needs a volume for its data. It cannot use the pod's own file system, because this is
        // an overlay, and an overlay cannot be created on another overlay.
        let mut mounts = vec![("engine", "/var/lib/docker", "emptyDir: {}".to_owned())];
        if let Files::Archive { has_objects, .. } = self.files {
            let name = Quoted(&self.name);
            let secret = || format!("secret: {{ secretName: {name} }}");
            mounts.push(("project", AT, if has_objects { secret() } else { format!("configMap: {{ name: {name} }}") }));
        }
        if let Some(name) = &self.ca {
            mounts.push(("store", AUTHORITIES, format!("configMap: {{ name: {} }}", Quoted(name))));
        }
        if let Some(folder) = &self.node_cache {
            let path = Quoted(folder);
            mounts.push(("cache", CACHE, format!("hostPath: {{ path: {path}, type: DirectoryOrCreate }}")));
        }
        mounts
    }
}

/// Returns the manifest as text.
pub(super) fn text(manifest: &Manifest) -> String {
    let mut text = String::new();
    write!(text, "{manifest}").expect("a String takes every write");
    text
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::Job;
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};

    use super::*;

    fn small() -> Manifest {
        Manifest {
            name: "nightly".to_owned(),
            namespace: None,
            shards: 2,
            parallelism: 2,
            image: "runner:1".to_owned(),
            files: Files::Image("/project".to_owned()),
            upload: "s3://runs/nightly".parse().expect("an address"),
            endpoint: None,
            region: "us-east-1".to_owned(),
            secret: None,
            service_account: None,
            ca: None,
            cpu: "2".to_owned(),
            memory: "8Gi".to_owned(),
            node_cache: None,
            arguments: Vec::new(),
        }
    }

    fn full() -> Manifest {
        Manifest {
            namespace: Some("tests".to_owned()),
            parallelism: 1,
            files: Files::Archive { archive: b"an archive".to_vec(), has_objects: true },
            endpoint: Some("https://minio.example.com".to_owned()),
            secret: Some("runs-writer".to_owned()),
            service_account: Some("shards".to_owned()),
            ca: Some("store-ca".to_owned()),
            node_cache: Some("/var/cache/parallax".to_owned()),
            arguments: vec!["--provision".to_owned(), "presign/*".to_owned()],
            ..small()
        }
    }

    #[test]
    fn the_manifest_with_nothing_and_with_everything() {
        insta::assert_snapshot!("small", text(&small()));
        insta::assert_snapshot!("full", text(&full()));
    }

    #[test]
    fn it_is_a_job_that_kubernetes_knows() {
        let files = Files::Archive { archive: b"an archive".to_vec(), has_objects: false };
        let whole = text(&Manifest { files, ..full() });
        let (files, _) = whole.split_once("---\n").expect("two documents");
        let files: ConfigMap = serde_saphyr::from_str(files).expect("a ConfigMap");
        assert_eq!(files.binary_data.expect("data")[ARCHIVE].0, b"an archive");
        // Objects of charts may contain passwords, which everybody may read in a ConfigMap who may view the namespace.
        let whole = text(&full());
        let (files, job) = whole.split_once("---\n").expect("two documents");
        let files: Secret = serde_saphyr::from_str(files).expect("a Secret");
        assert_eq!(files.data.expect("data")[ARCHIVE].0, b"an archive");
        let job: Job = serde_saphyr::from_str(job).expect("a Job");
        let spec = job.spec.expect("a spec");
        assert_eq!((spec.completions, spec.parallelism, spec.backoff_limit_per_index), (Some(2), Some(1), Some(1)));
        let pod = spec.template.spec.expect("a pod");
        let [container] = pod.containers.as_slice() else { panic!("one container") };
        let mounted: Vec<&String> = container.volume_mounts.iter().flatten().map(|it| &it.name).collect();
        let volumes: Vec<&String> = pod.volumes.iter().flatten().map(|it| &it.name).collect();
        assert_eq!(mounted, volumes);
        assert_eq!(container.command.as_ref().expect("a command")[4..], ["--provision", "presign/*"]);
    }

    /// Tests that texts from the user cannot change the structure of the manifest, and that the shell in the pod does
    /// not interpret them.
    #[test]
    fn texts_stay_texts() {
        let nasty = "a\"\n  b: $(id) # ' {{ x }}";
        let manifest = Manifest {
            image: nasty.to_owned(),
            endpoint: Some(nasty.to_owned()),
            secret: Some(nasty.to_owned()),
            node_cache: Some(nasty.to_owned()),
            arguments: vec![nasty.to_owned()],
            ..small()
        };
        let job: Job = serde_saphyr::from_str(&text(&manifest)).expect("a Job");
        let pod = job.spec.expect("a spec").template.spec.expect("a pod");
        let container = &pod.containers[0];
        let command = container.command.as_ref().expect("a command");
        assert_eq!(
            (container.image.as_deref(), command.last().map(String::as_str)),
            (Some(nasty), Some("a\"\n  b: $$(id) # ' {{ x }}"))
        );
        assert!(!command[2].contains("$(id)"), "{}", command[2]);
    }
}
