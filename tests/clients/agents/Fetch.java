import java.net.Authenticator;
import java.net.PasswordAuthentication;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Get one URL with the JDK's own client; it finds proxy and roots by itself, and its program gives it the password. */
class Fetch {
    static final Authenticator FROM_PROPERTIES = new Authenticator() {
        @Override
        protected PasswordAuthentication getPasswordAuthentication() {
            String password = System.getProperty("https.proxyPassword", "");
            return new PasswordAuthentication(System.getProperty("https.proxyUser", ""), password.toCharArray());
        }
    };

    public static void main(String[] arguments) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0]))
            .header("Authorization", "Bearer " + System.getenv("OPENAI_API_KEY")).build();
        HttpClient client = HttpClient.newBuilder().authenticator(FROM_PROPERTIES).build();
        System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
    }
}
