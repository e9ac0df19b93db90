"""Calls STS with boto3 until it has used a number of sessions. Prints the number of calls."""

import sys
import time

import boto3

url, wanted, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
session = boto3.Session()
credentials = session.get_credentials()
sts = session.client("sts", endpoint_url=url)
seen, calls = set(), 0
while len(seen) < wanted:
    seen.add(credentials.get_frozen_credentials().access_key)
    assert sts.get_caller_identity()["Arn"].endswith(":assumed-role/developers/" + sys.argv[4])
    calls += 1
    time.sleep(pause)
print(calls)
