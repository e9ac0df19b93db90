"""moto as STS and EKS: makes a user and a cluster, prints where and who as JSON, and serves until its standard input ends."""

import json
import logging
import sys

import boto3
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
endpoint = f"http://{host}:{port}"
anyone = {"endpoint_url": endpoint, "aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-west-1"}
iam = boto3.client("iam", **anyone)
iam.create_user(UserName="dev")
key = iam.create_access_key(UserName="dev")["AccessKey"]
boto3.client("eks", **anyone).create_cluster(
    name="prod",
    roleArn="arn:aws:iam::123456789012:role/cluster",
    resourcesVpcConfig={"subnetIds": ["subnet-1"]},
)
print(json.dumps({"endpoint": endpoint, "id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}), flush=True)
sys.stdin.read()
server.stop()
