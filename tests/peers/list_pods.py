"""Prints the names of the pods of a namespace: list_pods.py CONTEXT NAMESPACE"""

import sys

from kubernetes import client, config

config.load_kube_config(context=sys.argv[1])
for pod in client.CoreV1Api().list_namespaced_pod(sys.argv[2]).items:
    print(pod.metadata.name)
