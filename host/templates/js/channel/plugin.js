// The channel `{{name}}`: messages come by webhook, and answers are posted back.
//
// The platform posts {"id": "1", "peer": "ada", "text": "hello"}, signed; it gets the same.

/** Signs what comes in and authorises what goes out. The plugin never sees it. */
const SECRET = "{{name}}-token";

/** The rate limit that answers count against. */
const LIMIT = "messages";

/** What the owner sets in the config file. */
const SETTINGS_SCHEMA = {
  type: "object",
  properties: {
    origin: {
      type: "string",
      pattern: "^https://[^/]+$",
      description: "Answers are posted to `/messages` of it; https://example.com by default.",
    },
  },
  additionalProperties: false,
};

function parseSettings(json) {
  try {
    return { origin: "https://example.com", ...JSON.parse(json) };
  } catch (error) {
    throw { tag: "invalid-input", val: `the settings: ${error.message}` };
  }
}

/** A message on the wire, or nothing where it is none. */
function parseMessage(body) {
  try {
    const wire = JSON.parse(new TextDecoder().decode(body));
    const whole = [wire.id, wire.peer, wire.text].every((value) => typeof value === "string");
    return whole ? wire : undefined;
  } catch {
    return undefined;
  }
}

function nothing() {
  return { state: { tag: "unchanged" }, messages: [], receipts: [], actions: [], reply: undefined };
}

/** A delivery's next step. This channel has nothing to remember from one to the other. */
function step(tag, val, holds = []) {
  return { progress: new Uint8Array(), holds, next: { tag, val } };
}

export const channel = {
  describe() {
    return { platform: "{{name}}", settingsSchema: JSON.stringify(SETTINGS_SCHEMA) };
  },

  configure(settings) {
    const { origin } = parseSettings(settings);
    return {
      secrets: [SECRET],
      origins: [origin],
      webhook: {
        // The host checks the signature over the raw body, before any code here runs.
        verification: {
          tag: "hmac",
          val: {
            hash: "sha256",
            secret: SECRET,
            header: "x-signature",
            prefix: "sha256=",
            encoding: "hex",
            template: "{body}",
            timestamp: undefined,
          },
        },
        challenge: undefined,
      },
      features: { typingMs: undefined, draftMs: undefined, fileBytes: undefined, reactions: false, threads: false },
    };
  },

  parseIncoming(context, _state, event) {
    // Starts, stops and timers: this channel keeps nothing running.
    if (event.tag !== "webhook") return nothing();
    const wire = parseMessage(event.val.body);
    if (wire === undefined) {
      // An error would bring the same event again; this one will never be right.
      const body = new TextEncoder().encode("a message was expected");
      return { ...nothing(), reply: { status: 400, headers: [{ name: "content-type", value: "text/plain" }], body } };
    }
    const message = {
      // The host drops a repeat of the same event.
      eventId: wire.id,
      id: wire.id,
      kind: { tag: "new" },
      address: { account: undefined, peer: wire.peer, guild: undefined, team: undefined, thread: undefined },
      sender: { id: wire.peer, name: undefined, bot: false },
      text: wire.text,
      attachments: [],
      replyTo: undefined,
      conversation: "direct",
      mentionsAgent: false,
      sentAt: context.now,
      handle: new Uint8Array(),
    };
    return { ...nothing(), messages: [message] };
  },

  formatOutgoing(context, _state, outgoing, _progress) {
    const { tag, val: text } = outgoing.content;
    if (tag === "typing" || tag === "draft") return step("done", []);
    if (tag !== "markdown") return step("rejected", "only text can be sent here");
    const { origin } = parseSettings(context.settings);
    const wire = JSON.stringify({ id: outgoing.id, peer: outgoing.address.peer, text });
    const request = {
      method: "POST",
      url: [{ tag: "text", val: `${origin}/messages` }],
      headers: [
        ["content-type", [{ tag: "text", val: "application/json" }]],
        ["authorization", [{ tag: "text", val: "Bearer " }, { tag: "secret", val: SECRET }]],
      ],
      body: { tag: "text", val: [{ tag: "text", val: wire }] },
      timeoutMs: 10_000,
    };
    return step("request", { request, keys: [LIMIT] });
  },

  parseDelivery(_context, _state, outgoing, _progress, outcome) {
    if (outcome.tag === "err") {
      const { tag, val: why } = outcome.val;
      // Where nothing was sent, it can be sent again. Else it may have arrived: whether to repeat
      // it is for the owner to say.
      return tag === "not-sent" ? step("wait", 1_000) : step("unknown", why);
    }
    const { status } = outcome.val;
    if (status >= 200 && status <= 299) return step("done", [outgoing.id]);
    if (status === 429) return step("wait", 5_000, [{ key: LIMIT, forMs: 5_000 }]);
    return step("rejected", `the platform answered with ${status}`);
  },

  fetchAttachment(_context, _state, _handle, _previous) {
    throw { tag: "unsupported", val: "this channel has no attachments" };
  },
};
