// Makes a receipt with nothing but the JDK (17 or newer):
//   java MakeReceipt.java receipt-1.json 100200300 23014477 1795420800000 1798012800000
// Arguments: key file of `feeder-gateway utility keys`, account, meter, ledger time of the payment,
// time until which it has to be handed in (both milliseconds UTC). Prints the compact JWS.
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.HexFormat;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public class MakeReceipt {
    // The key file holds the bare 32 bytes; these, put before them, make the PKCS #8 of a Java key.
    static final String ED25519 = "302e020100300506032b657004220420";
    static final String P256 =
        "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420";

    public static void main(String[] given) throws Exception {
        String file = Files.readString(Path.of(given[0]));
        boolean edwards = member(file, "alg").equals("Ed25519");

        ByteArrayOutputStream pkcs8 = new ByteArrayOutputStream();
        pkcs8.write(HexFormat.of().parseHex(edwards ? ED25519 : P256));
        pkcs8.write(Base64.getUrlDecoder().decode(member(file, "private")));
        PrivateKey key = KeyFactory.getInstance(edwards ? "Ed25519" : "EC")
            .generatePrivate(new PKCS8EncodedKeySpec(pkcs8.toByteArray()));

        String header = String.format("{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"fg-receipt+jws\"}",
            member(file, "alg"), member(file, "kid"));
        String payload = String.format(
            "{\"account\":\"%s\",\"meter\":\"%s\",\"n\":%s,\"paid_at\":%s,\"exp\":%s}",
            given[1], given[2], given[3], given[3], given[4]);

        String signed = base64url(header.getBytes(StandardCharsets.UTF_8)) + "."
            + base64url(payload.getBytes(StandardCharsets.UTF_8));
        Signature by = Signature.getInstance(edwards ? "Ed25519" : "SHA256withECDSAinP1363Format");
        by.initSign(key);
        by.update(signed.getBytes(StandardCharsets.US_ASCII));
        System.out.println(signed + "." + base64url(by.sign()));
    }

    static String base64url(byte[] octets) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(octets);
    }

    static String member(String json, String name) {
        Matcher found = Pattern.compile("\"" + name + "\":\\s*\"([^\"]*)\"").matcher(json);
        if (!found.find()) {
            throw new IllegalArgumentException("the key file has no " + name);
        }
        return found.group(1);
    }
}
