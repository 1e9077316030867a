"""The channel `{{name}}`: messages come by webhook, and answers are posted back.

The platform posts {"id": "1", "peer": "ada", "text": "hello"}, signed; it gets the same.
"""

import json

from componentize_py_types import Err, Ok, Result
from wit_world import exports
from wit_world.exports import channel
from wit_world.imports import types

# Signs what comes in and authorises what goes out. The plugin never sees it.
SECRET = "{{name}}-token"

# The rate limit that answers count against.
LIMIT = "messages"

# What the owner sets in the config file.
SETTINGS_SCHEMA = {
    "type": "object",
    "properties": {
        "origin": {
            "type": "string",
            "pattern": "^https://[^/]+$",
            "description": "Answers are posted to `/messages` of it; https://example.com by default.",
        }
    },
    "additionalProperties": False,
}


def origin(settings: str) -> str:
    try:
        return json.loads(settings).get("origin", "https://example.com")
    except (ValueError, AttributeError) as error:
        raise Err(types.Error_InvalidInput(f"the settings: {error}"))


def parse_message(body: bytes) -> tuple[str, str, str] | None:
    """The id, the peer and the text of a message on the wire, or None where it is none."""
    try:
        wire = json.loads(body)
        found = (wire["id"], wire["peer"], wire["text"])
    except (ValueError, LookupError, TypeError):
        return None
    return found if all(isinstance(value, str) for value in found) else None


def incoming(messages: list[channel.Message], reply: types.Response | None = None) -> channel.Incoming:
    return channel.Incoming(
        state=channel.NextState_Unchanged(), messages=messages, receipts=[], actions=[], reply=reply
    )


def step(what: channel.Next, holds: list[channel.Hold] | None = None) -> channel.Step:
    """A delivery's next step. This channel has nothing to remember from one to the other."""
    return channel.Step(progress=b"", holds=holds or [], next=what)


class Channel(exports.Channel):
    def describe(self) -> channel.Description:
        return channel.Description(platform="{{name}}", settings_schema=json.dumps(SETTINGS_SCHEMA))

    def configure(self, settings: str) -> channel.Setup:
        # The host checks the signature over the raw body, before any code here runs.
        verification = channel.Verification_Hmac(
            channel.Hmac(
                hash=channel.Hash.SHA256,
                secret=SECRET,
                header="x-signature",
                prefix="sha256=",
                encoding=channel.Encoding.HEX,
                template="{body}",
                timestamp=None,
            )
        )
        return channel.Setup(
            secrets=[SECRET],
            origins=[origin(settings)],
            webhook=channel.Webhook(verification=verification, challenge=None),
            features=channel.Features(
                typing_ms=None, draft_ms=None, file_bytes=None, reactions=False, threads=False
            ),
        )

    def parse_incoming(self, context: channel.Context, state: bytes, event: channel.Event) -> channel.Incoming:
        if not isinstance(event, channel.Event_Webhook):
            # Starts, stops and timers: this channel keeps nothing running.
            return incoming([])
        wire = parse_message(event.value.body)
        if wire is None:
            # An error would bring the same event again; this one will never be right.
            header = types.Header(name="content-type", value="text/plain")
            return incoming([], types.Response(status=400, headers=[header], body=b"a message was expected"))
        message_id, peer, text = wire
        message = channel.Message(
            # The host drops a repeat of the same event.
            event_id=message_id,
            id=message_id,
            kind=channel.Kind_New(),
            address=channel.Address(account=None, peer=peer, guild=None, team=None, thread=None),
            sender=channel.Sender(id=peer, name=None, bot=False),
            text=text,
            attachments=[],
            reply_to=None,
            conversation=channel.Conversation.DIRECT,
            mentions_agent=False,
            sent_at=context.now,
            handle=b"",
        )
        return incoming([message])

    def format_outgoing(
        self, context: channel.Context, state: bytes, outgoing: channel.Outgoing, progress: bytes
    ) -> channel.Step:
        content = outgoing.content
        if isinstance(content, (channel.Content_Typing, channel.Content_Draft)):
            return step(channel.Next_Done([]))
        if not isinstance(content, channel.Content_Markdown):
            return step(channel.Next_Rejected("only text can be sent here"))
        wire = json.dumps({"id": outgoing.id, "peer": outgoing.address.peer, "text": content.value})
        request = channel.Outbound(
            method="POST",
            url=[channel.Piece_Text(f"{origin(context.settings)}/messages")],
            headers=[
                ("content-type", [channel.Piece_Text("application/json")]),
                ("authorization", [channel.Piece_Text("Bearer "), channel.Piece_Secret(SECRET)]),
            ],
            body=channel.Body_Text([channel.Piece_Text(wire)]),
            timeout_ms=10_000,
        )
        return step(channel.Next_Request(channel.LimitedRequest(request=request, keys=[LIMIT])))

    def parse_delivery(
        self,
        context: channel.Context,
        state: bytes,
        outgoing: channel.Outgoing,
        progress: bytes,
        outcome: Result[types.Response, channel.TransportError],
    ) -> channel.Step:
        match outcome:
            case Ok(response) if 200 <= response.status <= 299:
                return step(channel.Next_Done([outgoing.id]))
            case Ok(response) if response.status == 429:
                return step(channel.Next_Wait(5_000), [channel.Hold(key=LIMIT, for_ms=5_000)])
            case Ok(response):
                return step(channel.Next_Rejected(f"the platform answered with {response.status}"))
            case Err(channel.TransportError_NotSent()):
                # Nothing was sent, so that it can be sent again.
                return step(channel.Next_Wait(1_000))
            case Err(error):
                # It may have arrived: whether to repeat it is for the owner to say.
                return step(channel.Next_Unknown(error.value))

    def fetch_attachment(
        self, context: channel.Context, state: bytes, handle: bytes, previous: types.Response | None
    ) -> channel.Fetch:
        raise Err(types.Error_Unsupported("this channel has no attachments"))
