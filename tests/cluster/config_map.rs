//! The ConfigMap aws-auth of the control plane.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rolecall_harness::{AccessKey, within};
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;

/// The authenticator watches the ConfigMap: a change counts in less than a second. After a broken watch it waits 5 s.
pub(crate) const WATCH_TIMEOUT: Duration = Duration::from_mins(1);

static LOCK: Mutex<()> = Mutex::new(());
/// Number of the last marker account.
static MARKERS: AtomicU64 = AtomicU64::new(900_000_000_000);

/// The ConfigMap, which no other test changes while this value exists. It does not exist at first.
pub(crate) struct AwsAuth {
    control_plane: Arc<ControlPlane>,
    _lock: MutexGuard<'static, ()>,
}

impl AwsAuth {
    pub(crate) fn of(control_plane: &Arc<ControlPlane>) -> Self {
        // A test that failed under the lock says so itself.
        let lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        let aws_auth = Self { control_plane: Arc::clone(control_plane), _lock: lock };
        aws_auth.delete();
        aws_auth
    }

    /// Replaces the data of the ConfigMap, and waits until the authenticator uses it.
    ///
    /// It recognises this version by a marker in `mapAccounts`, an account that only this version admits. So `data` may
    /// not have that key.
    #[track_caller]
    pub(crate) fn apply(&self, data: &[(&str, &str)]) {
        let account = MARKERS.fetch_add(1, Ordering::Relaxed).to_string();
        let marker = self.control_plane.aws.add_user(&account, "marker");
        let mut data: serde_json::Map<String, Value> =
            data.iter().map(|(key, text)| ((*key).to_owned(), json!(text))).collect();
        let former = data.insert("mapAccounts".to_owned(), json!(format!("- \"{account}\"\n")));
        assert_eq!(former, None, "mapAccounts is taken by the marker");
        self.write(&json!(data));
        self.wait_for("the marker is admitted", &marker, |found| {
            found.is_ok_and(|user| user["username"].as_str() == Some(&marker.arn))
        });
    }

    /// Replaces the data of the ConfigMap.
    #[track_caller]
    pub(crate) fn write(&self, data: &Value) {
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": "aws-auth", "namespace": "kube-system" },
            "data": data,
        });
        if self.control_plane.as_administrator_with(&["replace", "-f", "-"], &object).code() != Some(0) {
            self.control_plane.create(&object);
        }
    }

    /// Returns the ConfigMap, or `None` if it does not exist.
    #[track_caller]
    pub(crate) fn read(&self) -> Option<Value> {
        let arguments = ["get", "configmap", "aws-auth", "-n", "kube-system", "-o", "json", "--ignore-not-found"];
        let said = self.control_plane.as_administrator(&arguments);
        said.assert_ok();
        (!said.stdout.is_empty()).then(|| said.json())
    }

    /// Deletes the ConfigMap if it exists.
    #[track_caller]
    pub(crate) fn delete(&self) {
        let arguments = ["delete", "configmap", "aws-auth", "-n", "kube-system", "--ignore-not-found"];
        self.control_plane.as_administrator(&arguments).assert_ok();
    }

    /// Waits until the API server accepts new tokens of this access key. Returns the user.
    #[track_caller]
    pub(crate) fn wait_until_accepted(&self, key: &AccessKey) -> Value {
        self.wait_for("it is accepted", key, |found| found.is_ok());
        self.control_plane.whoami(key).unwrap()
    }

    /// Waits until the API server answers 401 to new tokens of this access key. It may accept a token of the same second
    /// from its cache.
    #[track_caller]
    pub(crate) fn wait_until_rejected(&self, key: &AccessKey) {
        self.wait_for("it is rejected", key, |found| found.is_err_and(|message| message.contains("Unauthorized")));
    }

    #[track_caller]
    fn wait_for(&self, what: &str, key: &AccessKey, so: impl Fn(Result<Value, String>) -> bool) {
        let reached = within(WATCH_TIMEOUT, || so(self.control_plane.whoami(key)).then_some(()));
        let state = (self.read(), self.control_plane.whoami(key));
        let log = self.control_plane.authenticator_log();
        assert!(reached.is_some(), "waited for {}: {what}; now {state:#?}; the authenticator:\n{log}", key.arn);
    }
}
