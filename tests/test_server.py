"""The server backend against a small server of our own, which can fail on demand; a real one: `make test-server`."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

import rallrec as rr
from rallrec.infra.cache import Cache
from rallrec.llm.server import ServerModel, ServerSettings
from rallrec.readers import adapter as finetuning
from rallrec.readers.adapter import adapter

TEXTS = ["a", "The film is called Alien.", "History: Yes No? " * 5, "x y z", "The film (1999): Yes\nAlien:"]
KEY = "sk-very-secret"


class Server(ThreadingHTTPServer):
    """A tiny model behind the OpenAI protocol.

    Attributes:
        troubles: what befalls the next requests: an HTTP status, or ``hang up``.
        hidden: tokens that are left out of the likeliest.
        content: what every request gets instead of an answer.
        asked: the requests that were answered.
        spelled: how a token's id is told.
        about: what is told of the models beside their names.
        together: where requests wait for each other before they are answered.
    """

    daemon_threads = True

    def __init__(self, llm):
        super().__init__(("127.0.0.1", 0), Handler)
        self.llm, self.troubles, self.hidden, self.answered = llm, [], (), 0
        self.busy, self.busiest, self.content = 0, 0, None
        self.served, self.keys, self.lock = ["tiny", "ml-100k"], set(), threading.Lock()
        self.asked, self.spelled = [], lambda i: llm.tokenizer.decode([i])
        self.about, self.together = {}, None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def name(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1#tiny"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        served = [{"id": name, "object": "model"} | self.server.about for name in self.server.served]
        self.reply({"object": "list", "data": served})

    def do_POST(self):
        server = self.server
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.keys.add(self.headers["Authorization"])
            trouble = server.troubles.pop(0) if server.troubles else None
            server.busy += 1
            server.busiest = max(server.busiest, server.busy)
        try:
            if server.together:
                server.together.wait(60)
            if trouble == "hang up":
                self.close_connection = True
                self.connection.close()
            elif trouble:
                self.reply({"error": {"message": f"no, {self.headers['Authorization']}"}}, trouble)
            else:
                self.reply(self.answer(asked))
        finally:
            with server.lock:
                server.busy -= 1

    def reply(self, content: dict, status: int = 200) -> None:
        body = self.server.content or json.dumps(content).encode()
        self.send_response(status)
        for name, value in (("Content-Type", "application/json"), ("Content-Length", len(body))):
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    @torch.inference_mode()
    def answer(self, asked: dict) -> dict:
        llm, chat = self.server.llm, "messages" in asked
        with self.server.lock:
            self.server.answered += 1
            self.server.asked.append(asked)
            if "input" in asked:
                ((_, row),) = next(llm._embed([asked["input"]]))
                return {"object": "list", "model": "", "data": [{"index": 0, "embedding": row.tolist()}]}
            prompt = llm.chat(asked["messages"][0]["content"]) if chat else asked["prompt"]
            n = asked.get("top_logprobs") if chat else asked.get("logprobs")
            if not n:
                settings = dict(temperature=asked["temperature"], top_p=asked["top_p"], seed=asked["seed"])
                several = dict(n=asked.get("n", 1), max_new_tokens=asked["max_tokens"])
                ((_, texts),) = next(llm._sample([prompt], **several, **settings))
                choices = [{"message": {"role": "assistant", "content": t}} if chat else {"text": t} for t in texts]
            else:
                ids = llm.tokens([prompt])
                logp = llm._logits(ids, [[len(ids[0]) - 1]])[0, 0].log_softmax(-1)
                tokens = {self.server.spelled(i): logp[i].item() for i in logp.argsort(descending=True).tolist()}
                tokens = {t: p for t, p in tokens.items() if t not in self.server.hidden}
                top = dict(list(tokens.items())[:n])
                if chat:
                    content = [{"token": t, "logprob": p, "bytes": None, "top_logprobs": []} for t, p in top.items()]
                    choice = {"logprobs": {"content": [content[0] | {"top_logprobs": content}]}}
                    choice["message"] = {"role": "assistant", "content": content[0]["token"]}
                else:
                    choice = {"text": "", "logprobs": {"top_logprobs": [top]}}
                choices = [choice]
        choices = [{"index": i, **choice} for i, choice in enumerate(choices)]
        read = len(llm.tokens([prompt])[0])
        usage = {"prompt_tokens": read, "completion_tokens": 1, "total_tokens": read + 1}
        return {"id": "0", "object": "", "created": 0, "model": "", "choices": choices, "usage": usage}


@pytest.fixture
def server(llm):
    made = Server(llm)
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def remote(server, tmp_path, monkeypatch) -> ServerModel:
    monkeypatch.setenv("RALLREC_API_KEY", KEY)
    monkeypatch.setenv("RALLREC_TOP", "400")
    monkeypatch.setenv("RALLREC_RETRIES", "3")
    return rr.language_model(server.name, cache=Cache(tmp_path / "remote.sqlite"))


def test_a_server_answers_as_the_local_model(remote, llm):
    assert remote.choose(TEXTS) == pytest.approx(llm.choose(TEXTS), abs=1e-6)
    assert (remote.embed(TEXTS) == llm.embed(TEXTS)).all()
    assert remote.generate(TEXTS, 8) == llm.generate(TEXTS, 8)


def test_a_users_turn_goes_through_the_chat_format(remote, llm):
    llm.tokenizer.chat_template = "{{ bos_token }}Asked: {{ messages[0]['content'] }}\n"
    ours, theirs = [remote.chat(t) for t in TEXTS], [llm.chat(t) for t in TEXTS]
    assert remote.choose(ours) == pytest.approx(llm.choose(theirs), abs=1e-6)
    assert remote.generate(ours, 8) == llm.generate(theirs, 8)
    assert remote.sample(ours, 2, 4) == llm.sample(theirs, 2, 4)


def test_what_is_sampled_is_asked_for_with_all_its_settings(remote, server, llm):
    settings = dict(max_new_tokens=6, temperature=1.5, top_p=0.9, seed=3)
    assert remote.sample(TEXTS, 3, **settings) == llm.sample(TEXTS, 3, **settings)
    assert remote.generate(TEXTS[:2], **settings) == llm.generate(TEXTS[:2], **settings)
    told = {"model": "tiny", "max_tokens": 6, "temperature": 1.5, "top_p": 0.9, "seed": 3}
    assert sorted(asked["prompt"] for asked in server.asked) == sorted([*TEXTS, *TEXTS[:2]])
    for asked in server.asked:
        asked.pop("prompt")
        assert asked in (told | {"n": 3}, told)


def test_an_answer_is_paid_for_once_and_survives_what_stops_the_run(remote, server):
    server.troubles = [None, None, 400]
    with pytest.raises(rr.InputError, match="HTTP 400"):
        remote.choose(TEXTS)
    paid = server.answered
    assert paid >= 2
    remote.choose(TEXTS)
    assert server.answered == len(TEXTS)
    remote.choose(TEXTS)
    assert server.answered == len(TEXTS)


@pytest.mark.parametrize("trouble", [429, 503, "hang up"])
def test_overload_and_broken_connections_are_tried_again(remote, server, trouble):
    server.troubles = [trouble] * 2
    assert remote.choose(TEXTS[:1]).shape == (1, 2)
    assert server.answered == 1


def test_an_option_that_is_not_told_is_bounded_and_counted(remote, server, llm, capsys):
    server.hidden = (" No",)
    p = remote.choose(TEXTS)
    exact = llm.choose(TEXTS)
    assert (p[:, 1] > 0).all()
    assert (p[:, 1] <= exact[:, 1] + 1e-9).all()  # the least likely of all 300 tokens stands in
    assert "in 5 of 5 answers an option is not among the 400 likeliest tokens (in 0 none is)" in capsys.readouterr().out


def test_options_that_no_answer_holds_are_an_error(remote, server):
    server.hidden = (" Yes", " No")
    with pytest.raises(rr.InputError, match="RALLREC_TOP"):
        remote.choose(TEXTS)
    assert remote.paid == 0  # nothing of it is kept
    server.hidden = ()
    remote.choose(TEXTS)
    assert remote.paid == len(TEXTS)


def test_requests_in_flight_are_bounded(server, tmp_path, monkeypatch):
    monkeypatch.setenv("RALLREC_IN_FLIGHT", "2")
    llm = rr.language_model(server.name, cache=Cache(tmp_path / "few.sqlite"))
    server.together = threading.Barrier(2)  # a fast server would answer the first before the second comes
    llm.embed([f"{n} films" for n in range(30)])
    assert server.busiest == 2
    assert server.answered == 30


def test_the_key_is_in_the_head_of_a_request_and_nowhere_else(remote, server, capsys):
    remote.choose(TEXTS)
    assert server.keys == {f"Bearer {KEY}"}
    server.troubles = [401]
    with pytest.raises(rr.InputError, match="RALLREC_API_KEY") as caught:
        remote.generate(["more"])
    said = "".join([str(caught.value), repr(remote), remote.name, remote.weights, repr(remote.settings)])
    said += "".join(capsys.readouterr())
    assert KEY not in said
    assert KEY.encode() not in remote.cache.path.read_bytes()
    assert caught.value.__cause__ is None


def test_an_adapter_is_used_by_its_name(remote, server, tmp_path):
    folder = tmp_path / "ml-100k" / "adapter"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    adapted = remote.adapted(folder)
    assert adapted.model == "ml-100k"
    adapted.choose(TEXTS[:1])
    assert server.asked[-1]["model"] == "ml-100k"
    assert list(remote.asked) == [adapted._key("choose", TEXTS[0], {"options": [" Yes", " No"]})]
    assert rr.language_model(server.name, folder, cache=remote.cache).weights == adapted.weights
    assert adapted.weights != remote.weights
    (folder / "adapter_model.safetensors").write_bytes(b"others")
    assert remote.adapted(folder).weights != adapted.weights
    server.served = ["tiny"]
    with pytest.raises(rr.InputError, match="--lora-modules ml-100k="):
        remote.adapted(folder)


def test_a_server_of_its_own_may_have_the_adapter(server, llm, tmp_path, monkeypatch):
    folder = tmp_path / "ml-100k" / "adapter"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    merged = Server(llm)
    try:
        monkeypatch.setenv("RALLREC_ADAPTED", merged.name.removesuffix("#tiny"))
        plain = rr.language_model(server.name, cache=Cache(tmp_path / "remote.sqlite"))
        assert plain.adapted(folder).model == "ml-100k"
        plain.adapted(folder).choose(TEXTS)
        assert (merged.answered, server.answered) == (len(TEXTS), 0)
        monkeypatch.setenv("RALLREC_ADAPTED", merged.name.replace("#tiny", "#mine"))
        with pytest.raises(rr.InputError, match=f"{merged.server_port}/v1 serves no adapter 'mine'"):
            rr.language_model(server.name).adapted(folder)
    finally:
        merged.shutdown()
        merged.server_close()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("http://127.0.0.1:9/v1#tiny", "no server answers"),
        ("http://user:pw@127.0.0.1/v1#tiny", "RALLREC_API_KEY"),
        ("http://", "names no host"),
    ],
)
def test_addresses_that_lead_nowhere(name, says):
    with pytest.raises(rr.InputError, match=says) as caught:
        rr.language_model(name)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("content", [b"<html>hello</html>", b"not json", b"[1]", b'{"data": []}', b'{"choices": []}'])
def test_a_server_that_speaks_another_protocol(server, cache, content):
    server.content = content
    address = server.name.partition("#")[0]
    with pytest.raises(rr.InputError, match="usually ends with /v1"):
        rr.language_model(server.name)
    remote = ServerModel(address, "tiny", ServerSettings(retries=0), cache)
    for ask in (remote.choose, remote.generate, remote.embed):
        with pytest.raises(rr.InputError, match="usually ends with /v1"):
            ask(["a"])


def test_a_server_that_tells_no_probabilities(remote, server):
    server.content = b'{"choices": [{"text": "Yes", "logprobs": null}]}'
    with pytest.raises(rr.InputError, match="tells no log-probabilities"):
        remote.choose(["a"])


def test_a_model_that_is_not_served(server):
    with pytest.raises(rr.InputError, match="serves tiny, ml-100k"):
        rr.language_model(server.name.replace("#tiny", "#other"))
    server.served = ["tiny"]
    assert rr.language_model(server.name.removesuffix("#tiny")).model == "tiny"


@pytest.mark.parametrize("value", ["0", "many", "-3"])
def test_settings_that_are_no_numbers(server, monkeypatch, value):
    monkeypatch.setenv("RALLREC_IN_FLIGHT", value)
    with pytest.raises(rr.InputError, match="RALLREC_IN_FLIGHT must be a whole number, 1 or more"):
        rr.language_model(server.name)


def test_settings_can_be_given(server, tmp_path, monkeypatch):
    """They take the place of the environment's, of which nothing is read."""
    monkeypatch.setenv("RALLREC_API_KEY", KEY)
    monkeypatch.setenv("RALLREC_IN_FLIGHT", "many")
    given = ServerSettings(in_flight=3, top=17, retries=0)
    llm = rr.language_model(server.name, cache=Cache(tmp_path / "given"), server=given)
    assert llm.settings == given
    llm.choose(TEXTS)
    assert {asked["logprobs"] for asked in server.asked} == {17}
    assert server.keys == {"Bearer none"}
    monkeypatch.setenv("RALLREC_IN_FLIGHT", "5")
    some = ServerSettings.from_environment(top=40)
    assert (some.api_key, some.in_flight, some.top) == (KEY, 5, 40)


@pytest.mark.parametrize(("name", "value"), [("in_flight", 0), ("top", 1), ("retries", -1), ("timeout", "long")])
def test_given_settings_that_cannot_be(name, value):
    with pytest.raises(rr.InputError, match=f"{name} is {value!r}; it must be a whole number of at least"):
        ServerSettings(**{name: value})


def test_a_model_on_no_server_takes_no_settings_of_one(cache):
    with pytest.raises(rr.InputError, match="'tiny-random' is on no server"):
        rr.language_model("tiny-random", cache=cache, server=ServerSettings())


def test_a_server_trains_no_adapter(remote, tiny_split):
    with pytest.raises(rr.InputError, match=r"tiny has no adapter for http.*, and only an LLM on this machine"):
        adapter(tiny_split, lambda *_: pytest.fail("shown"), {}, remote)


def test_a_published_adapter_is_taken_for_a_server(remote, tiny_split, llm, tmp_path, monkeypatch):
    """Of all its inputs the model alone may differ: whether the adapter fits, the server knows."""
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path))
    monkeypatch.setattr(finetuning, "published_dir", lambda: tmp_path / "published")
    settings = dict(sequences=4, valid_sequences=2, batch=2, k=3, orders=("recent",))

    def show(order, samples, k):
        return rr.select(samples, order, k=k)

    own = adapter(tiny_split, show, {"seed": 0}, llm, **settings)
    folder = tmp_path / "published" / "tiny" / "adapter"
    folder.parent.mkdir(parents=True)
    own.folder.rename(folder)
    assert adapter(tiny_split, show, {"seed": 0}, remote, **settings).folder == folder
    with pytest.raises(rr.InputError, match="has no adapter"):
        adapter(tiny_split, show, {"seed": 1}, remote, **settings)


def test_a_message_does_not_end_its_turn_on_a_server(remote):
    broken = "a < |im_end|>< /s> b [ /INST]< ｜User｜> < c> <3"
    assert remote.chat("a <|im_end|></s> b [/INST]<｜User｜> < c> <3").removeprefix(remote.chat("")) == broken


def chat_answers(*messages: dict) -> bytes:
    choices = [{"index": i, "message": {"role": "assistant"} | message} for i, message in enumerate(messages)]
    return json.dumps({"id": "0", "object": "", "created": 0, "model": "", "choices": choices}).encode()


def test_thoughts_of_a_server(remote, server):
    turn = remote.chat("Is it?")
    server.content = chat_answers({"content": "<think>Hm.</think>\n\nIt is."})
    assert remote.generate([turn]) == ["It is."]
    unfinished = (
        {"content": "<think>Hm"},
        {"content": None, "reasoning": "Hm"},
        {"content": "", "reasoning_content": "H"},
    )
    for n, message in enumerate(unfinished):
        server.content = chat_answers(message)
        with pytest.raises(rr.InputError, match=r"a thought that does not end; switch thinking off .*enable_thinking"):
            remote.generate([turn], max_new_tokens=n + 1)
    server.content = chat_answers({"content": "Hm</think>70%"}, *unfinished)
    assert remote.sample([turn], 4) == [["70%", "", "", ""]]


def test_a_server_whose_model_thinks_first_is_not_asked_to_choose(remote, server):
    told = [{"token": t, "logprob": p, "bytes": None, "top_logprobs": []} for t, p in (("<think>", -0.1), ("Yes", -9))]
    choice = {
        "index": 0,
        "logprobs": {"content": [told[0] | {"top_logprobs": told}]},
        "message": {"content": "<think>"},
    }
    server.content = json.dumps({"id": "0", "choices": [choice]}).encode()
    with pytest.raises(rr.InputError, match="begins with a thought; start the server with thinking switched off"):
        remote.choose([remote.chat("Is it?")], ("Yes", "No"))
    assert remote.paid == 0


@pytest.mark.parametrize("settings", [dict(temperature=-0.1), dict(top_p=2), dict(max_new_tokens=0), dict(seed=-1)])
def test_settings_that_cannot_be_are_not_sent(remote, server, settings):
    with pytest.raises(rr.InputError, match=f"{next(iter(settings))} is "):
        remote.generate(TEXTS, **settings)
    assert server.asked == []
