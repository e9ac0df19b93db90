//! Tables: the output of kubectl for people, formatted by the server.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::objects::{Kind, Object};

/// Returns a `meta.k8s.io/v1` Table. Only `-o wide` shows columns of priority 1.
pub(crate) fn of(kind: Kind, objects: &[&Object], now: SystemTime, version: &str) -> Value {
    let columns: &[(&str, u8)] = match kind {
        Kind::Namespace => &[("Name", 0), ("Status", 0), ("Age", 0)],
        Kind::ConfigMap => &[("Name", 0), ("Data", 0), ("Age", 0)],
        Kind::ClusterRoleBinding | Kind::RoleBinding => &[("Name", 0), ("Role", 0), ("Age", 0)],
        Kind::Pod => &[
            ("Name", 0),
            ("Ready", 0),
            ("Status", 0),
            ("Restarts", 0),
            ("Age", 0),
            ("IP", 1),
            ("Node", 1),
            ("Nominated Node", 1),
            ("Readiness Gates", 1),
        ],
    };
    let definitions: Vec<Value> = columns
        .iter()
        .map(|(name, priority)| {
            let format = if *name == "Name" { "name" } else { "" };
            json!({ "name": name, "type": "string", "format": format, "description": "", "priority": priority })
        })
        .collect();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let partial = json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": object.json["metadata"],
            });
            json!({ "cells": cells(object, now), "object": partial })
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": { "resourceVersion": version },
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

fn cells(object: &Object, now: SystemTime) -> Vec<Value> {
    let age = json!(age(now.duration_since(object.created).unwrap_or_default()));
    match object.kind {
        Kind::Namespace => vec![json!(object.name), object.json["status"]["phase"].clone(), age],
        Kind::ConfigMap => {
            let entries = object.json["data"].as_object().map_or(0, serde_json::Map::len);
            vec![json!(object.name), json!(entries.to_string()), age]
        }
        Kind::ClusterRoleBinding | Kind::RoleBinding => {
            let role = object.json["roleRef"]["name"].as_str().unwrap_or_default();
            vec![json!(object.name), json!(format!("ClusterRole/{role}")), age]
        }
        Kind::Pod => vec![
            json!(object.name),
            json!("1/1"),
            object.json["status"]["phase"].clone(),
            json!("0"),
            age,
            object.json["status"]["podIP"].clone(),
            object.json["spec"]["nodeName"].clone(),
            json!("<none>"),
            json!("<none>"),
        ],
    }
}

/// Formats an age, roughly as kubectl does: `45s`, `12m`, `27h`, `3d`.
fn age(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}
