"""Sends the picture in all ways that Python's own library offers: forms.py URL PICTURE. Prints each way and its status."""

import base64
import http.client
import json
import sys
import urllib.parse
import urllib.request
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

url, path = sys.argv[1:]
with open(path, "rb") as file:
    picture = file.read()
text = base64.b64encode(picture).decode()
server = urllib.parse.urlsplit(url)


def post(name: str, body: bytes, content_type: str | None, query: str = "") -> None:
    connection = http.client.HTTPConnection(server.hostname, server.port, timeout=60)
    headers = {} if content_type is None else {"Content-Type": content_type}
    connection.request("POST", "/predict?" + query, body, headers)
    answer = connection.getresponse()
    detail = json.load(answer).get("detail", "")
    print(f"{name}: {answer.status} {detail}")
    connection.close()


def mail(name: str, *parts, quoted: bool = True) -> None:
    """A form as it is made with the library for mail: base64, and a boundary with = in it."""
    form = MIMEMultipart("form-data")
    for part in parts:
        form.attach(part)
    body = form.as_bytes().split(b"\n\n", 1)[1]
    boundary = form.get_boundary()
    post(name, body, f'multipart/form-data; boundary="{boundary}"' if quoted else f"multipart/form-data; boundary={boundary}")


def disposition(part, **parameters):
    part.add_header("Content-Disposition", "form-data", **parameters)
    return part


post("http.client, bytes", picture, None)
post("http.client, True", picture, "image/png", urllib.parse.urlencode({"parents": True, "exif": False, "lang": "zh_CN"}))
mail("email, file", disposition(MIMEApplication(picture), name="file", filename="a.png"))
mail("email, unquoted boundary", disposition(MIMEApplication(picture), name="file", filename="a.png"), quoted=False)
mail("email, text", disposition(MIMEText(text), name="image"), disposition(MIMEText("2"), name="top_k"))
mail("email, text in UTF-8", disposition(MIMEText(text, _charset="utf-8"), name="image"), disposition(MIMEText("True", _charset="utf-8"), name="parents"))
for name, body in {
    "urllib, form": urllib.parse.urlencode({"image": text, "top_k": 2}).encode(),
    "urllib, form of bytes": urllib.parse.urlencode({"image": picture}).encode(),
    "urllib, bytes": picture,  # which urllib calls a form too
}.items():
    with urllib.request.urlopen(urllib.request.Request(url + "/predict", body), timeout=60) as answer:
        print(f"{name}: {answer.status}")
post("wrong: str of bytes", json.dumps({"image": str(picture)}).encode(), "application/json")
post("wrong: str of base64", json.dumps({"image": str(base64.b64encode(picture))}).encode(), "application/json")
post("wrong: decoded bytes", json.dumps({"image": picture.decode(errors="replace")}).encode(), "application/json")
post("wrong: Latin-1", json.dumps({"image": picture.decode("latin-1")}).encode(), "application/json")
post("wrong: list of bytes", json.dumps({"image": list(picture)}).encode(), "application/json")
post("wrong: None", json.dumps({"image": None}).encode(), "application/json")
post("wrong: str of dict", str({"image": text}).encode(), "application/json")
