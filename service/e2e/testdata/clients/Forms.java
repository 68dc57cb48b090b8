import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Base64;

/** Sends the picture as Java programs do: java Forms.java URL PICTURE. Prints each way and its status. */
public class Forms {
  static final HttpClient client = HttpClient.newHttpClient();
  static String url;

  static void post(String name, String type, byte[] body) throws Exception {
    var request = HttpRequest.newBuilder(URI.create(url + "/predict")).POST(BodyPublishers.ofByteArray(body));
    if (type != null) request.header("Content-Type", type);
    var answer = client.send(request.build(), BodyHandlers.ofString());
    System.out.println(name + ": " + answer.statusCode() + " " + (answer.statusCode() < 400 ? "" : answer.body()));
  }

  /** A form with one part, as Jakarta Mail and Spring write its boundary and headers. */
  static void form(String name, String boundary, String headers, byte[] content) throws Exception {
    var body = new ByteArrayOutputStream();
    body.write(("--" + boundary + "\r\n" + headers + "\r\n\r\n").getBytes(StandardCharsets.US_ASCII));
    body.write(content);
    body.write(("\r\n--" + boundary + "--\r\n").getBytes(StandardCharsets.US_ASCII));
    post(name, "multipart/form-data;boundary=" + boundary, body.toByteArray());
  }

  public static void main(String[] args) throws Exception {
    url = args[0];
    var picture = Files.readAllBytes(Path.of(args[1]));
    var text = Base64.getEncoder().encodeToString(picture);
    post("HttpClient, bytes", null, picture);
    post("HttpClient, form", "application/x-www-form-urlencoded", ("image=" + URLEncoder.encode(text, StandardCharsets.UTF_8)).getBytes());
    var mime = Base64.getMimeEncoder().encode(picture);
    form("mail, base64", "----=_Part_0_1747585708.1764565997",
        "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: form-data; name=file; filename=a.png", mime);
    form("Spring, String", "Uu8Yp-rY9oJ_2mT6", "Content-Disposition: form-data; name=\"image\"\r\nContent-Type: text/plain;charset=UTF-8", text.getBytes());
    form("Spring, byte[]", "Uu8Yp-rY9oJ_2mT6", "Content-Disposition: form-data; name=\"file\"\r\nContent-Type: application/octet-stream", picture);
    form("no header but the name", "b", "Content-Disposition: form-data; name=\"file\"", picture);
    post("wrong: Arrays.toString", "application/json", ("{\"image\": " + Arrays.toString(picture) + "}").getBytes());
    post("wrong: new String", "application/json", ("{\"image\": \"" + new String(picture, StandardCharsets.US_ASCII).replaceAll("[\\p{Cntrl}\"\\\\]", "") + "\"}").getBytes());
  }
}
