// AWS SDK for Java v2, by the contract in /clients/contract.py. The JVM trusts what a keystore holds, so the bundle becomes
// one before anything connects. HTTP goes by the client that the SDK brings along (Apache 5).

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentials;
import software.amazon.awssdk.auth.credentials.AwsSessionCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.awscore.AwsRequestOverrideConfiguration;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.awscore.presigner.PresignedRequest;
import software.amazon.awssdk.core.ResponseBytes;
import software.amazon.awssdk.core.SdkResponse;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.protocols.jsoncore.JsonWriter;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3ClientBuilder;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;
import software.amazon.awssdk.services.s3.model.ListObjectsV2Response;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;

public final class Main {
    private static final String REQUEST_ID = "x-amz-request-id";
    /** Every client sends these by itself. */
    private static final List<String> SENT_ANYWAY = List.of("host", "content-length");
    private static final int CAUSES = 8;

    public static void main(String[] arguments) throws IOException {
        JsonNode task = JsonNode.parser().parse(System.in);
        JsonWriter outcome = JsonWriter.create();
        try {
            trust(System.getenv("PARALLAX_CA_BUNDLE"));
            answer(task, outcome);
        } catch (AwsServiceException refused) {
            outcome = refusal(refused);
        } catch (Exception failure) {
            outcome = failed(words(failure));
        }
        OutputStream out = System.out;
        out.write(outcome.getBytes());
        out.flush();
        // Nobody waits for the threads of the SDK's connections.
        Runtime.getRuntime().halt(0);
    }

    private static void answer(JsonNode task, JsonWriter outcome) throws IOException {
        if (task.field("presign").isPresent()) {
            sign(task.field("presign").get(), outcome);
        } else if (task.field("s3").isPresent()) {
            operate(task.field("s3").get(), outcome);
        } else {
            throw new IOException("this client has no way to do `http`");
        }
    }

    /** Makes a keystore of a bundle and names it to the JVM. Without a bundle the JVM trusts its own authorities. */
    private static void trust(String bundle) throws IOException, GeneralSecurityException {
        if (bundle == null) {
            return;
        }
        byte[] text = Files.readAllBytes(Path.of(bundle));
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        for (Certificate each : factory.generateCertificates(new ByteArrayInputStream(text))) {
            store.setCertificateEntry("authority-" + store.size(), each);
        }
        Path file = Files.createTempFile("trust", ".p12");
        // Nothing in it is secret; without a password the JVM reads no certificate out of it.
        String password = "changeit";
        try (OutputStream out = Files.newOutputStream(file)) {
            store.store(out, password.toCharArray());
        }
        System.setProperty("javax.net.ssl.trustStore", file.toString());
        System.setProperty("javax.net.ssl.trustStoreType", "PKCS12");
        System.setProperty("javax.net.ssl.trustStorePassword", password);
    }

    private static StaticCredentialsProvider credentials(JsonNode access) {
        String key = text(access, "access_key");
        String secret = text(access, "secret_key");
        String session = text(access, "session_token");
        AwsCredentials fixed =
            session == null
                ? AwsBasicCredentials.create(key, secret)
                : AwsSessionCredentials.create(key, secret, session);
        return StaticCredentialsProvider.create(fixed);
    }

    /** Whether the host names of URLs begin with the bucket. */
    private static boolean isVirtual(JsonNode access) {
        return access != null && "virtual".equals(text(access, "addressing"));
    }

    private static S3Client client(JsonNode access) {
        S3ClientBuilder builder = S3Client.builder().forcePathStyle(!isVirtual(access));
        if (access != null) {
            builder
                .endpointOverride(URI.create(text(access, "endpoint")))
                .region(Region.of(text(access, "region")))
                .credentialsProvider(credentials(access));
        }
        return builder.build();
    }

    private static S3Presigner presigner(JsonNode access) {
        S3Configuration paths = S3Configuration.builder().pathStyleAccessEnabled(!isVirtual(access)).build();
        S3Presigner.Builder builder = S3Presigner.builder().serviceConfiguration(paths);
        if (access != null) {
            builder
                .endpointOverride(URI.create(text(access, "endpoint")))
                .region(Region.of(text(access, "region")))
                .credentialsProvider(credentials(access));
        }
        return builder.build();
    }

    private static void sign(JsonNode task, JsonWriter outcome) throws IOException {
        if (number(task, "signed_at_s") != 0) {
            // Its presigner has a clock of its own, and heeds no other.
            throw new IOException("this client signs for now, and for no other time");
        }
        S3Presigner signer = presigner(given(task, "access"));
        String bucket = text(task, "bucket");
        String key = text(task, "key");
        Duration expires = Duration.ofSeconds(number(task, "expires_s"));
        JsonNode query = given(task, "query");
        Consumer<AwsRequestOverrideConfiguration.Builder> also = it -> {
            if (query != null) {
                query.asObject().forEach((name, value) -> it.putRawQueryParameter(name, value.text()));
            }
        };
        PresignedRequest signed =
            switch (text(task, "method")) {
                case "GET" -> signer.presignGetObject(
                    it -> it.signatureDuration(expires)
                        .getObjectRequest(of -> of.bucket(bucket).key(key).overrideConfiguration(also)));
                case "PUT" -> signer.presignPutObject(
                    it -> it.signatureDuration(expires)
                        .putObjectRequest(of -> of.bucket(bucket).key(key).overrideConfiguration(also)));
                case "HEAD" -> signer.presignHeadObject(
                    it -> it.signatureDuration(expires)
                        .headObjectRequest(of -> of.bucket(bucket).key(key).overrideConfiguration(also)));
                default -> signer.presignDeleteObject(
                    it -> it.signatureDuration(expires)
                        .deleteObjectRequest(of -> of.bucket(bucket).key(key).overrideConfiguration(also)));
            };
        outcome.writeStartObject().writeFieldName("url").writeValue(signed.url().toString());
        outcome.writeFieldName("headers").writeStartObject();
        signed.signedHeaders().forEach((name, values) -> {
            if (!SENT_ANYWAY.contains(name.toLowerCase())) {
                outcome.writeFieldName(name.toLowerCase()).writeValue(String.join(",", values));
            }
        });
        outcome.writeEndObject().writeEndObject();
    }

    private static void operate(JsonNode task, JsonWriter outcome) throws IOException {
        S3Client store = client(given(task, "access"));
        Map<String, JsonNode> operations = task.field("operation").orElseThrow().asObject();
        Map.Entry<String, JsonNode> operation = operations.entrySet().iterator().next();
        JsonNode target = operation.getValue();
        String bucket = text(target, "bucket");
        String key = text(target, "key");
        switch (operation.getKey()) {
            case "create-bucket" -> told(store.createBucket(it -> it.bucket(bucket)), outcome);
            case "put" -> {
                RequestBody body = RequestBody.fromString(text(target, "body"));
                told(store.putObject(it -> it.bucket(bucket).key(key), body), outcome);
            }
            case "get" -> {
                ResponseBytes<GetObjectResponse> got = store.getObjectAsBytes(it -> it.bucket(bucket).key(key));
                told(got.response(), outcome);
                outcome.writeFieldName("body").writeValue(new String(got.asByteArray(), StandardCharsets.UTF_8));
            }
            case "head" -> told(store.headObject(it -> it.bucket(bucket).key(key)), outcome);
            case "delete" -> told(store.deleteObject(it -> it.bucket(bucket).key(key)), outcome);
            case "list" -> {
                String prefix = text(target, "prefix");
                List<ListObjectsV2Response> pages =
                    store.listObjectsV2Paginator(it -> it.bucket(bucket).prefix(prefix)).stream().toList();
                told(pages.get(pages.size() - 1), outcome);
                outcome.writeFieldName("keys").writeStartArray();
                pages.forEach(page -> page.contents().forEach(entry -> outcome.writeValue(entry.key())));
                outcome.writeEndArray();
            }
            default -> throw new IOException("this client has no way to do " + operation.getKey());
        }
        outcome.writeEndObject();
    }

    /** What the answer itself said; the object is left open. */
    private static void told(SdkResponse response, JsonWriter outcome) {
        outcome.writeStartObject().writeFieldName("status").writeValue(response.sdkHttpResponse().statusCode());
        response.sdkHttpResponse().firstMatchingHeader(REQUEST_ID).ifPresent(id -> {
            outcome.writeFieldName("headers").writeStartObject();
            outcome.writeFieldName(REQUEST_ID).writeValue(id).writeEndObject();
        });
    }

    /** An answer came, and it was no. */
    private static JsonWriter refusal(AwsServiceException refused) {
        JsonWriter outcome = JsonWriter.create();
        outcome.writeStartObject().writeFieldName("status").writeValue(refused.statusCode());
        if (refused.awsErrorDetails() != null) {
            outcome.writeFieldName("code").writeValue(refused.awsErrorDetails().errorCode());
            outcome.writeFieldName("message").writeValue(refused.awsErrorDetails().errorMessage());
        } else {
            outcome.writeFieldName("message").writeValue(refused.getMessage());
        }
        return outcome.writeEndObject();
    }

    private static JsonWriter failed(String words) {
        return JsonWriter.create().writeStartObject().writeFieldName("failed").writeValue(words).writeEndObject();
    }

    /** What the library said, and what lay beneath it, as far as it was not said above. */
    private static String words(Throwable failure) {
        StringBuilder said = new StringBuilder();
        Throwable at = failure;
        for (int depth = 0; at != null && depth < CAUSES; depth++, at = at.getCause()) {
            String message = at.getMessage() == null ? at.getClass().getSimpleName() : at.getMessage();
            if (said.indexOf(message) < 0) {
                said.append(said.isEmpty() ? "" : ": ").append(message);
            }
        }
        return said.toString();
    }

    /** A field that is there, and not null. */
    private static JsonNode given(JsonNode node, String name) {
        return node.field(name).filter(it -> !it.isNull()).orElse(null);
    }

    private static String text(JsonNode node, String name) {
        JsonNode field = given(node, name);
        return field == null ? null : field.text();
    }

    private static long number(JsonNode node, String name) {
        String text = text(node, name);
        return text == null ? 0 : Long.parseLong(text);
    }

    private Main() {}
}
