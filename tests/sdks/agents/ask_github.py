import json
import os

from github import Auth, Github

with Github(auth=Auth.Token(os.environ["GITHUB_TOKEN"])) as client:
    repository = client.get_repo("acme/widgets")
    issue = repository.create_issue("Broken", body="It is.")
    told = {"login": client.get_user().login, "repository": repository.full_name, "issue": issue.number}
print(json.dumps(told))
