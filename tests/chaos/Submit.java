import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Submits a job with the JDK's HttpClient as it comes: over plain http it asks for an upgrade to HTTP/2. */
class Submit {
    public static void main(String[] words) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int number = 0; number < Integer.parseInt(words[3]); number++) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(words[0] + "/v1/jobs"))
                .header("Authorization", "Bearer " + words[1])
                .header("Content-Type", "application/json")
                .header("Idempotency-Key", words[2] + "-" + number)
                .POST(HttpRequest.BodyPublishers.ofString(words[4]))
                .build();
            HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(response.statusCode() + " " + response.body());
        }
    }
}
