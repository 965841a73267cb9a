import hashlib
import json

from deepgram import DeepgramClient
from deepgram.speak.v1.types import SpeakV1Text

AUDIO = bytes(range(256)) * 64
"""What stands for spoken words: all octets, so that none of them is taken for text on its way."""

client = DeepgramClient()
projects = [project.name for project in client.manage.v1.projects.list().projects]

with client.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate="16000") as heard:
    for start in range(0, len(AUDIO), 4096):
        heard.send_media(AUDIO[start : start + 4096])
    heard.send_finalize()
    transcript = heard.recv().channel.alternatives[0].transcript
    heard.send_close_stream()

with client.speak.v1.connect(model="aura-2-thalia-en", encoding="linear16") as spoken:
    spoken.send_text(SpeakV1Text(text="Hello."))
    audio = spoken.recv()

with client.agent.v1.connect() as talk:  # which is on another host
    welcome = talk.recv().type
    talk.send_media(AUDIO)
    reply = talk.recv()

told = {"projects": projects, "transcript": transcript, "spoken": hashlib.sha256(audio).hexdigest()}
print(json.dumps({**told, "welcome": welcome, "reply": hashlib.sha256(reply).hexdigest()}))
