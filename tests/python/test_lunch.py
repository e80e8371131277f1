"""Sessions that are left alone stay."""

import base64
import datetime
import json


def test_an_idle_session_outlives_the_renewal_of_its_token(machine, site):
    """Whoever comes back from lunch finds the session as it was."""
    with machine.server("4.1.0") as server:
        site.start_guard("127.0.0.1:%d" % server.port)
        site.join("alice")
        make_token_due_soon(site.config("alice"))
        agent = site.connect("alice")
        with machine.artist("5.3.1", "idle", agent.port) as artist:
            artist.said("ready")
            site.wait_for_record("renewed")
            artist.tell("back from lunch")
            assert artist.result()["value"] == 42
        with machine.artist("5.3.1", "arriving", agent.port) as artist:
            assert artist.result()["value"] == 42
        tokens = [record["token"] for record in site.audit("opened")]
        assert len(set(tokens)) == 2, "the second session has the renewed token"


def make_token_due_soon(config):
    """Has the agent believe that half of the token's life is over in a few seconds."""
    (path,) = config.rglob("credentials.json")
    credentials = json.loads(path.read_text(encoding="utf-8"))
    payload = credentials["token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    half = datetime.timedelta(seconds=(claims["exp"] - claims["iat"]) / 2)
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
    received = soon - half
    credentials["token_received"] = received.strftime("%Y-%m-%dT%H:%M:%SZ")
    path.write_text(json.dumps(credentials), encoding="utf-8")
