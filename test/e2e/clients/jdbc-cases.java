import java.io.StringReader;
import java.io.StringWriter;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

/**
 * What the JDBC driver does by a Postgres port. Prints the name of each case that is well.
 * Arguments: host, port, database, user, password, the file of the certificate's authority, and
 * `session` where the port keeps sessions.
 */
class JdbcCases {
  interface Case {
    void run() throws Exception;
  }

  static String[] words;

  public static void main(String[] given) throws Exception {
    words = given;
    well("tlsModes", JdbcCases::tlsModes);
    well("preparedStatements", JdbcCases::preparedStatements);
    well("batches", JdbcCases::batches);
    well("transactions", JdbcCases::transactions);
    well("portalsWithRowLimits", JdbcCases::portalsWithRowLimits);
    well("copies", JdbcCases::copies);
    well("cancels", JdbcCases::cancels);
    well("notices", JdbcCases::notices);
    well("severalAtOnce", JdbcCases::severalAtOnce);
    well("large", JdbcCases::large);
    if (words[6].equals("session")) well("notifications", JdbcCases::notifications);
  }

  static void well(String name, Case check) throws Exception {
    check.run();
    System.out.println(name);
  }

  static Connection connect(String... settings) throws SQLException {
    Properties properties = new Properties();
    properties.setProperty("user", words[3]);
    properties.setProperty("password", words[4]);
    properties.setProperty("sslmode", "disable");
    for (int at = 0; at < settings.length; at += 2) {
      properties.setProperty(settings[at], settings[at + 1]);
    }
    String address = words[0] + ":" + words[1] + "/" + words[2];
    return DriverManager.getConnection("jdbc:postgresql://" + address, properties);
  }

  static void equal(Object is, Object expected) {
    if (!expected.equals(is)) throw new AssertionError(is + " is not " + expected);
  }

  static int number(Connection connection, String query) throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery(query)) {
      rows.next();
      return rows.getInt(1);
    }
  }

  static void tlsModes() throws Exception {
    for (String mode : new String[] {"disable", "prefer", "require", "verify-full"}) {
      try (Connection connection = connect("sslmode", mode, "sslrootcert", words[5])) {
        equal(number(connection, "select 1"), 1);
      }
    }
  }

  /** From the fifth time on the driver names them, and reads their results as binary. */
  static void preparedStatements() throws Exception {
    try (Connection connection = connect();
        PreparedStatement statement =
            connection.prepareStatement("select ?::int8 * 2, ?::text, ?::bytea")) {
      for (long count = 0; count < 20; count += 1) {
        statement.setLong(1, count);
        statement.setString(2, "grüße 世界");
        statement.setBytes(3, new byte[] {0, -1});
        try (ResultSet rows = statement.executeQuery()) {
          rows.next();
          equal(rows.getLong(1), count * 2);
          equal(rows.getString(2), "grüße 世界");
          equal(rows.getBytes(3).length, 2);
        }
      }
    }
  }

  static void batches() throws Exception {
    try (Connection connection = connect()) {
      connection.createStatement().execute("create table batched (n int check (n <> 500))");
      for (int until : new int[] {400, 600}) {
        connection.setAutoCommit(false);
        try (PreparedStatement insert =
            connection.prepareStatement("insert into batched values (?)")) {
          for (int n = 0; n < until; n += 1) {
            insert.setInt(1, n);
            insert.addBatch();
          }
          equal(insert.executeBatch().length, 400);
          connection.commit();
        } catch (BatchUpdateException error) {
          equal(until, 600);
          equal(error.getSQLState(), "23514");
          connection.rollback();
        }
      }
      equal(number(connection, "select count(*) from batched"), 400);
    }
  }

  static void transactions() throws Exception {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      statement.execute("create table jdbc_kept (n int primary key)");
      connection.setAutoCommit(false);
      statement.execute("insert into jdbc_kept values (1)");
      var here = connection.setSavepoint();
      try {
        statement.execute("insert into jdbc_kept values (1)");
        throw new AssertionError("no error");
      } catch (SQLException error) {
        equal(error.getSQLState(), "23505");
        connection.rollback(here);
      }
      connection.commit();
      statement.execute("delete from jdbc_kept");
      connection.rollback();
      equal(number(connection, "select count(*) from jdbc_kept"), 1);
    }
  }

  static void portalsWithRowLimits() throws Exception {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      connection.setAutoCommit(false);
      statement.setFetchSize(33);
      int seen = 0;
      try (ResultSet rows = statement.executeQuery("select * from generate_series(1, 1000)")) {
        while (rows.next()) seen += 1;
      }
      equal(seen, 1000);
      ResultSet left = statement.executeQuery("select * from generate_series(1, 1000000)");
      left.next();
      left.close();
      equal(number(connection, "select 1"), 1);
    }
  }

  static void copies() throws Exception {
    try (Connection connection = connect()) {
      connection.createStatement().execute("create table jdbc_copied (n int)");
      CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
      String lines = "1\n2\n3\n".repeat(10_000);
      equal(copy.copyIn("copy jdbc_copied from stdin", new StringReader(lines)), 30_000L);
      try {
        copy.copyIn("copy jdbc_copied from stdin", new StringReader("wrong\n" + lines));
        throw new AssertionError("no error");
      } catch (SQLException error) {
        equal(error.getSQLState(), "22P02");
      }
      StringWriter out = new StringWriter();
      equal(copy.copyOut("copy jdbc_copied to stdout", out), 30_000L);
      equal(out.toString().length(), lines.length());
    }
  }

  static void cancels() throws Exception {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      statement.setQueryTimeout(1);
      try {
        statement.execute("select pg_sleep(60)");
        throw new AssertionError("no error");
      } catch (SQLException error) {
        equal(error.getSQLState(), "57014");
      }
      equal(number(connection, "select 1"), 1);
    }
  }

  static void notices() throws Exception {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      statement.execute("do $$ begin raise warning 'heard'; end $$");
      equal(statement.getWarnings().getMessage(), "heard");
    }
  }

  static void severalAtOnce() throws Exception {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      statement.execute("");
      statement.execute("create table several (n int); insert into several values (1), (2)");
      equal(number(connection, "select count(*) from several"), 2);
    }
  }

  static void large() throws Exception {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      equal(number(connection, "select length('" + "x".repeat(5_000_000) + "')"), 5_000_000);
      String query = "select repeat('y', 1000) from generate_series(1, 50000)";
      long read = 0;
      try (ResultSet rows = statement.executeQuery(query)) {
        while (rows.next()) read += rows.getString(1).length();
      }
      equal(read, 50_000_000L);
    }
  }

  static void notifications() throws Exception {
    try (Connection listener = connect(); Connection other = connect()) {
      listener.createStatement().execute("listen news");
      other.createStatement().execute("notify news, 'hello'");
      var heard = listener.unwrap(PGConnection.class).getNotifications(10_000);
      equal(heard[0].getParameter(), "hello");
    }
  }
}
